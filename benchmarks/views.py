"""Measures what each view of an image is worth: shifts of templates, shifts of probes, mirroring.

    python -m benchmarks.views --data DIR [--nets alexnet vgg16 vgg19] [--json PATH]

Templates are each identity's first session, or the first half of its shots; every other image is a
probe. Three quarters of the identities are enrolled, in five random galleries. Nets are fused with
the weights of fusion.json. The bold row is what the service does. A template is embedded in 26
views and a probe in 10: three nets and 3,200 images take 20 minutes on two cores.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.fusion import Fusion
from app.matching.templates import mean_templates
from app.palm.views import MOVES, template_views
from benchmarks.machine import as_sentence, describe_machine
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.identification import open_set
from training.benchmark.report import name_rate
from training.benchmark.resampling import draw_subjects
from training.benchmark.verification import allowed, fnmr_at, highest, lowest_threshold
from training.database.palms import Palms, load_palms
from training.metrics.protocol import is_template
from training.nets.recipe import NETS
from training.report.files import write_text
from training.versions.fuse import read_fusion
from training.versions.read import Version, open_highest

FAR = ((-2, -2), (-2, 2), (2, -2), (2, 2), (-2, 0), (2, 0), (0, -2), (0, 2))
"""Shifts to corners and sides, two steps away."""

PLACES = {1: [0], 5: [*range(5)], 9: [0, *range(5, 13)], 13: [*range(13)]}
"""Positions by their number: unshifted; the service's; those of FAR; all."""

Way = tuple[int, int, bool]
"""Number of positions of a template and of a probe, and whether both are also mirrored."""

WAYS: tuple[Way, ...] = tuple(
    (template, probe, mirrored)
    for template, probe in ((1, 1), (5, 1), (9, 1), (13, 1), (5, 5))
    for mirrored in (False, True)
)
SERVED: Way = (5, 1, True)

FMRS = (1e-3, 1e-4)
FPIR = 1e-2
SEED = 1

Float32 = NDArray[np.float32]
Rows = dict[Way, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what each view of an image is worth.")
    parser.add_argument("--data", type=Path, required=True, help="palms that no net was trained on")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    palms = load_palms(arguments.data)
    nets = open_highest(arguments.store, arguments.nets, palms.pixels.shape[1])
    keys = [net.key for net in nets]
    fusion = read_fusion(arguments.store, keys) if len(keys) > 1 else None
    rows = measure(palms, nets, fusion)
    print(f"{len(palms)} images of {len(palms.identities)} identities. ", end="")
    print(f"{as_sentence(describe_machine())}.\n\n{as_markdown(rows)}")
    if arguments.json:
        names = ("template", "probe", "mirrored")
        found = [dict(zip(names, way, strict=True)) | row for way, row in rows.items()]
        write_text(arguments.json, json.dumps(found, indent=1) + "\n")


def measure(palms: Palms, nets: Sequence[Version], fusion: Fusion | None) -> Rows:
    """Returns FNIR and FNMR of every way to compare, by net and fused."""
    trials = Trials.of(palms, is_template(palms))
    rows: Rows = {way: {} for way in WAYS}
    found: dict[Way, list[Float32]] = {way: [] for way in WAYS}
    for net in nets:
        for way, similarities in _compare(net, palms, trials):
            rows[way][str(net.key)] = _rates(similarities, trials)
            found[way].append(similarities)
    if fusion:
        for way, of_nets in found.items():
            rows[way]["fused"] = _rates(fusion.combine(of_nets), trials)
    return rows


def _compare(net: Version, palms: Palms, trials: Trials) -> Iterator[tuple[Way, Float32]]:
    """Yields the similarities [P, I] of each way to compare."""
    enrolled, others = palms.select(trials.templates), palms.select(~trials.templates)
    shown = net.embeddings(enrolled, partial(template_views, moves=MOVES + FAR))
    templates = mean_templates(shown, enrolled.labels, len(palms.identities))
    probes = net.embeddings(others, template_views)
    for template, probe, mirrored in WAYS:
        best = [
            _best(probes[:, view, PLACES[probe]], templates[:, view, PLACES[template]])
            for view in ((0, 1) if mirrored else (0,))
        ]
        yield (template, probe, mirrored), np.mean(best, axis=0)


def _best(probes: Float32, templates: Float32) -> Float32:
    """Returns the best cosine [P, T] of any position of a probe to any of a template.

    Args:
        probes: [P, M, D].
        templates: [T, N, D].
    """
    columns = templates.reshape(-1, templates.shape[-1]).T
    found = [
        (position @ columns).reshape(len(position), *templates.shape[:2]).max(axis=2)
        for position in probes.swapaxes(0, 1)
    ]
    return np.max(found, axis=0)


def _rates(similarities: Float32, trials: Trials) -> dict[str, float | None]:
    """Returns FNIR at FPIR and FNMR at each FMR; None where there are too few comparisons."""
    comparisons = Comparisons(similarities, trials)
    size = len(trials.owners) * 3 // 4
    weights = draw_subjects(trials.subject_count, SEED)
    (gallery,) = open_set(comparisons, [size], seed=SEED, weights=weights)
    rate = gallery.fnir[FPIR]
    count = sum(len(block) for block in comparisons.impostors())
    tail = highest(comparisons.impostors(), allowed(max(FMRS), count) + 1)
    thresholds = {fmr: lowest_threshold(tail, fmr, count) for fmr in FMRS}
    fnmr = {
        f"FNMR at FMR {name_rate(fmr)}": None if at is None else fnmr_at(comparisons.genuine(), at)
        for fmr, at in thresholds.items()
    }
    return {f"FNIR at FPIR {FPIR:.0%}, N = {size}": rate and rate.value, **fnmr}


def as_markdown(rows: Rows) -> str:
    """Returns a table with a row for each way; a cell holds the figures of one net."""
    matchers = list(next(iter(rows.values())))
    figures = list(next(iter(rows.values()))[matchers[0]])
    heads = ["template x probe", "mirrored", *matchers, "views of a probe, of a template"]
    lines = [f"In a cell: {'; '.join(figures)}.", "", _line(heads), "|---" * len(heads) + "|"]
    for (template, probe, mirrored), found in rows.items():
        name, factor = f"{template} x {probe}", 2 if mirrored else 1
        cells = [" ".join(_percent(v) for v in found[matcher].values()) for matcher in matchers]
        served = (template, probe, mirrored) == SERVED
        lines.append(
            _line(
                [
                    f"**{name}**" if served else name,
                    "yes" if mirrored else "no",
                    *cells,
                    f"{factor * probe}, {factor * template}",
                ]
            )
        )
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


if __name__ == "__main__":
    main()
