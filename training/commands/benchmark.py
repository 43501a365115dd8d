"""How well exported nets, fused and beside a classical matcher, tell a database's palms apart."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.identification import DRAWS, cmc, gallery_sizes, open_set, ranks
from training.benchmark.matchers import Matcher, Nets, compare_classically
from training.benchmark.report import as_html, as_markdown, name_rate
from training.benchmark.resampling import RESAMPLES, Rate, Weights, draw_subjects, share
from training.benchmark.verification import (
    FMRS,
    GRID,
    Tally,
    allowed,
    choose_thresholds,
    eer_of,
    fnmr_at,
    fnmr_at_fmr,
    highest,
    tally,
    threshold_at,
)
from training.database.palms import Palms, ReadingOptions, load_database
from training.metrics.calibration import FPIR_TARGET, Calibration
from training.metrics.calibration_curves import ENROLLED_SHARE, answer, measure
from training.metrics.open_set import is_template, require_pairs
from training.metrics.rates import equal_error_rate
from training.nets.build import NETS
from training.versions.read import Artefact, load_for_size

CMC_DEPTH = 20

DET_POINTS = 400
"""Of the curve, in the JSON and in the plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig(ReadingOptions):
    """What `python -m training benchmark` does: an ISO/IEC 19795-1 report for any database.

    The images of each identity's first session, or the first half of its shots, are its
    templates, as a service would have enrolled them; all others are probes. docs/benchmark.md
    defines every rate.

    Attributes:
        store: models_store.
        nets: names of the nets; the highest version of each takes part.
        classical: put an untrained matcher beside them.
        views: show nets every image mirrored, too, and templates a little moved, as the service
            does; without, as they lie alone, by which nets are not calibrated.
        seed: of the galleries and the resamples.
        out: folder for benchmark.html, benchmark.json and benchmark.md.
    """

    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS
    classical: bool = True
    views: bool = True
    seed: int = 1
    out: Path = Path("benchmark")


def benchmark(config: BenchmarkConfig) -> str:
    """Compares all probes with all templates by every matcher; writes the report.

    Returns:
        The Markdown table.

    Raises:
        FileNotFoundError: if a net or its fusion is missing.
        ValueError: if a net takes images of another size, or there is nothing to compare.
        OSError: if the database cannot be read, or the report not be written.
    """
    if not config.nets and not config.classical:
        raise ValueError("there is no matcher: give --nets, or leave --classical on")
    artefacts = load_for_size(config.store, config.nets, config.size_px)
    nets = Nets(artefacts, config.store)
    palms = load_database(config)
    require_pairs(palms, f" in {config.data}: add images")
    trials = Trials.of(palms, is_template(palms))
    weights = draw_subjects(trials.subject_count, config.seed)
    matchers = [
        judge(matcher, weights, config.seed) for matcher in _compare(config, nets, palms, trials)
    ]
    report = {
        "schema_version": 2,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": describe(config, palms, trials),
        "sampling": {
            "seed": config.seed,
            "resamples": RESAMPLES,
            "galleries_of_each_size": DRAWS,
            "enrolled_share_for_confidence": ENROLLED_SHARE,
        },
        "warnings": find_warnings(artefacts, palms, matchers),
        "matchers": matchers,
    }
    _write(config.out, report)
    return as_markdown(report)


def judge(matcher: Matcher, weights: Weights, seed: int) -> dict[str, Any]:
    """All figures of one matcher, as the JSON holds them.

    Args:
        matcher: with its similarities.
        weights: of `draw_subjects`, [1 + B, S].
        seed: of the galleries.
    """
    comparisons, calibration = matcher.comparisons, matcher.calibration
    trials = comparisons.trials
    found = ranks(comparisons)
    sizes = gallery_sizes(trials.own, len(trials.owners))
    galleries = open_set(comparisons, sizes, seed=seed, weights=weights)
    reliability = None
    if calibration:
        answers = answer(comparisons, calibration, seed)
        reliability = asdict(measure(answers, trials.subjects, weights)) | {
            "lowest_fmr": _lowest_fmr(calibration, answers.enrolled)
        }
    return {
        "name": matcher.name,
        "made_of": matcher.made_of,
        **_verify(comparisons, weights),
        "rank_1": asdict(share(found == 1, trials.subjects, weights)),
        "cmc": cmc(found, min(CMC_DEPTH, len(trials.owners))).tolist(),
        "open_set": [
            asdict(one) | {"fnir": _by_name(one.fnir)}  # JSON has no numbers as keys
            for one in galleries
        ],
        "reliability": reliability,
    }


def describe(config: BenchmarkConfig, palms: Palms, trials: Trials) -> dict[str, Any]:
    """What was compared, in numbers; no file's and no person's name."""
    first = np.full(len(palms.identities), len(palms.session_names))
    np.minimum.at(first, palms.labels, palms.sessions)
    by_session = (palms.sessions > first[palms.labels]).any()
    return {
        "name": config.data.name,
        "sha256": palms.sha256,
        "classes": f"{config.classes}s",
        "size_px": config.size_px,
        "views": config.views,
        "identities": len(palms.identities),
        "persons": len(np.unique(trials.owners)),
        "persons_with_probes": trials.subject_count,
        "sessions": len(palms.session_names),
        "images": len(palms),
        "templates": int(trials.templates.sum()),
        "probes": len(trials.own),
        "templates_are": "each identity's first session"
        if by_session
        else "the first half of each identity's shots",
    }


def find_warnings(
    artefacts: list[Artefact], palms: Palms, matchers: list[dict[str, Any]]
) -> list[str]:
    """What makes figures look better, or other, than they are."""
    found = [
        f"{one.key} was trained on images of this very database, or calibrated by them "
        f"({len(set(one.identities) & set(palms.identities))} of {len(palms.identities)} "
        "identities are its own): its rates, and those of the fusion, are of palms that it knows"
        for one in artefacts
        if one.dataset["sha256"] == palms.sha256
    ]
    for one in matchers:
        if one["reliability"] and one["reliability"]["lowest_fmr"]:
            found.append(
                f"{one['name']} has no threshold for {FPIR_TARGET:.0%} of strangers in this "
                f"gallery: its confidences are at the FMR {one['reliability']['lowest_fmr']:g}, "
                "the lowest that it was calibrated for"
            )
    return found


def _compare(
    config: BenchmarkConfig, nets: Nets, palms: Palms, trials: Trials
) -> Iterator[Matcher]:
    """One after another: a matcher's similarities may take half of a gigabyte."""
    yield from nets.compare(palms, trials, views=config.views)
    if config.classical:
        yield compare_classically(palms, trials)


def _verify(comparisons: Comparisons, weights: Weights) -> dict[str, Any]:
    """Verification's figures."""
    genuine = comparisons.genuine()
    eer = equal_error_rate(genuine, comparisons.impostors())
    count = int(sum(len(block) for block in comparisons.impostors()))
    tail, _ = highest(comparisons.impostors(), allowed(FMRS[0], count) + 1)
    thresholds = {fmr: threshold_at(tail, fmr, count) for fmr in FMRS}
    exact = [one for one in thresholds.values() if one is not None]
    counted = tally(comparisons, choose_thresholds(comparisons, tail, exact))
    rates = counted.rates(weights)

    def rate(value: float, resampled: Any) -> Rate:
        return Rate.of(value, resampled[1:], len(genuine), weights.shape[1])

    fnmr = {
        fmr: None if at is None else rate(fnmr_at(genuine, at), fnmr_at_fmr(*rates, fmr))
        for fmr, at in thresholds.items()
    }
    return {
        "genuine_comparisons": len(genuine),
        "impostor_comparisons": count,
        "eer": asdict(rate(eer, eer_of(*rates))),
        "fnmr": _by_name(fnmr),
        "thresholds": {name_rate(fmr): at for fmr, at in thresholds.items()},
        "det": _det(*rates),
        "distributions": _distributions(counted),
    }


def _det(fmr: Any, fnmr: Any) -> dict[str, list[float]]:
    """The curve of the subjects as they are, thinned where it is dense."""
    chosen = np.unique(np.linspace(0, fmr.shape[1] - 1, DET_POINTS).round().astype(int))
    return {"fmr": fmr[0, chosen].tolist(), "fnmr": fnmr[0, chosen].tolist()}


def _distributions(counted: Tally) -> dict[str, list[float]]:
    """Shares of genuine and impostor comparisons in each of `GRID` equal bins."""
    low, high = counted.thresholds[0], counted.thresholds[-2]
    edges = np.linspace(low, high, GRID + 1)
    at = np.searchsorted(counted.thresholds, edges[:-1])
    found: dict[str, list[float]] = {"edges": edges.tolist()}
    for name, table in (("genuine", counted.genuine), ("impostors", counted.impostors)):
        reaching = np.append(table.sum(axis=0)[at], 0)
        found[name] = (-np.diff(reaching) / reaching[0]).tolist()
    return found


def _by_name(rates: dict[float, Rate | None]) -> dict[str, dict[str, Any] | None]:
    return {name_rate(one): rate and asdict(rate) for one, rate in rates.items()}


def _lowest_fmr(calibration: Calibration, enrolled: int) -> float | None:
    """The FMR that the threshold really stands for, where the one asked for was not measured."""
    lowest = calibration.thresholds[-1].fmr
    return lowest if FPIR_TARGET / enrolled < lowest else None


def _write(folder: Path, report: dict[str, Any]) -> None:
    """Three files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "benchmark.json": json.dumps(report, indent=1) + "\n",
        "benchmark.md": as_markdown(report),
        "benchmark.html": as_html(report),
    }
    for name, text in contents.items():
        unfinished = folder / f".{name}.unfinished"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(folder / name)
