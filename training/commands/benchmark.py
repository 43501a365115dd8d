"""Benchmarks exported nets, their fusion and a classical matcher on any database."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.matching.similarity import SHIFT
from training.benchmark.comparisons import Trials
from training.benchmark.figures import describe_database, find_warnings, measure_matcher
from training.benchmark.identification import DRAWS
from training.benchmark.map_options import Channels, MapOptions
from training.benchmark.map_similarities import split_identities
from training.benchmark.matchers import Matcher, compare_classically, compare_nets
from training.benchmark.resampling import RESAMPLES, draw_subjects
from training.database.palms import Palms, ReadingOptions, load_database
from training.fit.options import require_at_least
from training.fit.verdict import Verdict
from training.metrics.calibration_curves import ENROLLED_SHARE
from training.metrics.protocol import is_template, require_pairs
from training.nets.recipe import NETS
from training.report.files import write_text
from training.versions.fuse import read_fusion
from training.versions.read import Version, open_highest


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig(ReadingOptions):
    """Writes an ISO/IEC 19795-1 report on the nets' vein maps and embeddings.

    Nothing is trained. The images of each identity's first session, or the first half of its
    shots, are its templates, enrolled as in the service; all other images are probes. Time grows
    with probes x templates: 4,500 of each take a net 200 s of one core, and longer
    if places of the maps are unusable. docs/benchmark.md defines every rate.

    Attributes:
        store: the models store.
        nets: names of the nets; the highest version of each is measured.
        classical: whether to measure an untrained matcher too.
        templates: largest number of templates of an identity; its first images are enrolled.
        shift: largest shift of the maps in places. Like the three options below, for measuring what
            a choice is worth: the nets are calibrated only for the defaults.
        channels: channels of the maps: all, or those of the early (local) or late (wide) layer.
        mask: whether unusable places of the maps are left out.
        cohort: whether maps are compared by scores; else by similarities.
        seed: seed of the galleries and of the resamples; equal seeds give equal figures.
        out: folder for benchmark.html, benchmark.json and benchmark.md.
    """

    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS
    classical: bool = True
    templates: int = 6
    shift: int = SHIFT
    channels: Channels = "all"
    mask: bool = True
    cohort: bool = True
    seed: int = 1
    out: Path = Path("runs/benchmark")

    @property
    def map_options(self) -> MapOptions:
        """How maps are compared."""
        return MapOptions(self.shift, self.channels, self.mask, self.cohort)


def benchmark(config: BenchmarkConfig) -> Verdict:
    """Compares all probes with all templates by every matcher, and writes the report.

    Raises:
        ValueError: if a net or the fusion is missing, a net has input images of another size, an
            option is out of range, or there is nothing to compare.
        OSError: if the database cannot be read, or the report cannot be written.
    """
    # Imported here, so that --help does not load matplotlib.
    from training.benchmark.report import as_html, as_markdown

    if not config.nets and not config.classical:
        raise ValueError("there is no matcher: give --nets or --classical")
    require_at_least({"templates": config.templates}, templates=1)
    versions = open_highest(config.store, config.nets, config.size_px)
    keys = [version.key for version in versions]
    fusion = read_fusion(config.store, keys) if len(keys) > 1 else None
    palms = load_database(config)
    require_pairs(palms, f" in {config.data}: add images")
    trials = Trials.of(palms, is_template(palms), config.templates)
    splits = split_identities(len(palms.identities), config.seed)
    weights = draw_subjects(trials.subject_count, config.seed)

    def matchers() -> Iterator[Matcher]:
        options = config.map_options
        yield from compare_nets(versions, fusion, palms, trials, splits, options=options)
        if config.classical:
            yield compare_classically(palms, trials)

    figures = [measure_matcher(matcher, weights, config.seed) for matcher in matchers()]
    report = _report(config, versions, palms, trials, figures)
    table = as_markdown(report)
    for name, text in (
        ("benchmark.json", json.dumps(report, indent=1) + "\n"),
        ("benchmark.md", table),
        ("benchmark.html", as_html(report)),
    ):
        write_text(config.out / name, text)
    print(table)
    return Verdict(config.out / "benchmark.html", _summarize(report))


def _report(
    config: BenchmarkConfig,
    versions: list[Version],
    palms: Palms,
    trials: Trials,
    figures: list[dict[str, Any]],
) -> dict[str, Any]:
    """Returns the content of benchmark.json."""
    return {
        "schema_version": 4,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": describe_database(config, palms, trials),
        "comparison": {
            "templates": config.templates,
            **asdict(config.map_options),
            "unlike_service": config.map_options.describe(),
        },
        "sampling": {
            "seed": config.seed,
            "resamples": RESAMPLES,
            "galleries_of_each_size": DRAWS,
            "enrolled_share_for_confidence": ENROLLED_SHARE,
        },
        "warnings": find_warnings(versions, palms, figures),
        "matchers": figures,
    }


def _summarize(report: dict[str, Any]) -> str:
    """Returns the matcher with the lowest equal error rate, and whether there are warnings."""
    best = min(report["matchers"], key=lambda one: one["eer"]["value"])
    eer, count = best["eer"], len(report["matchers"])
    summary = (
        f"{best['name']} has {'the lowest' if count > 1 else 'an'} equal error rate, "
        f"{eer['value']:.2%} (95 % interval {eer['low']:.2%} to {eer['high']:.2%})"
    )
    return summary + ("; see the warnings in the report" if report["warnings"] else "")
