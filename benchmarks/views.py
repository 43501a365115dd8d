"""What each view of a image is worth: moves of a template, moves of a probe, mirror images.

    python -m benchmarks.views --data DIR [--nets alexnet,vgg16,vgg19] [--json PATH]

Templates are each identity's first session, or the first half of its shots; every other image is
a probe. Three quarters of the identities are enrolled, in five galleries drawn by lot. Nets are
fused with the weights of fusion.json, which are the service's, whose row is the bold one.
A template is shown in 26 views, a probe in 10: three nets and 3,200 images take two cores 20
minutes.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.palm.views import MOVES, template_views
from benchmarks.machine import as_sentence, describe_machine
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.identification import open_set
from training.benchmark.report import name_rate
from training.benchmark.resampling import draw_subjects
from training.benchmark.verification import allowed, fnmr_at, highest, threshold_at
from training.database.palms import Palms, load_palms
from training.metrics.open_set import is_template, mean_templates
from training.nets.build import NETS
from training.versions.fuse import read_fusion
from training.versions.read import Artefact, load_for_size

FAR = ((-2, -2), (-2, 2), (2, -2), (2, 2), (-2, 0), (2, 0), (0, -2), (0, 2))
"""Corners and sides, two steps away."""

PLACES = {1: [0], 5: [*range(5)], 9: [0, *range(5, 13)], 13: [*range(13)]}
"""Where it is; and the four corners; and instead of them FAR; and both."""

WAYS = tuple(
    (template, probe, mirrored)
    for template, probe in ((1, 1), (5, 1), (9, 1), (13, 1), (5, 5))
    for mirrored in (False, True)
)
SERVED = (5, 1, True)

FMRS = (1e-3, 1e-4)
FPIR = 1e-2
SEED = 1

Float32 = NDArray[np.float32]
Rows = dict[tuple[int, int, bool], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="palms that no net was trained on")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    palms = load_palms(arguments.data)
    nets = load_for_size(arguments.store, tuple(arguments.nets.split(",")), palms.pixels.shape[1])
    rows = measure(palms, nets, arguments.store)
    print(f"{len(palms)} images of {len(palms.identities)} identities. ", end="")
    print(f"{as_sentence(describe_machine())}.\n\n{as_markdown(rows)}")
    if arguments.json:
        names = ("template", "probe", "mirrored")
        found = [dict(zip(names, way, strict=True)) | row for way, row in rows.items()]
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(palms: Palms, nets: list[Artefact], store: Path) -> Rows:
    """FNIR and FNMR of every way to compare, by net and fused."""
    trials = Trials.of(palms, is_template(palms))
    weights = read_fusion(store, [net.key for net in nets])[0] if len(nets) > 1 else [1.0]
    fused: dict[tuple[int, int, bool], Float32] = {}
    rows: Rows = {way: {} for way in WAYS}
    for net, weight in zip(nets, weights, strict=True):
        for way, found in _compare(net, palms, trials):
            rows[way][net.key] = _judge(found, trials)
            fused[way] = fused.get(way, np.float32(0)) + np.float32(weight) * found
    if len(nets) > 1:
        for way, found in fused.items():
            rows[way]["fused"] = _judge(found, trials)
    return rows


def _compare(
    net: Artefact, palms: Palms, trials: Trials
) -> Iterator[tuple[tuple[int, int, bool], Float32]]:
    """Similarities [P, I] for each way."""
    images, others = palms.select(trials.templates), palms.select(~trials.templates)
    shown = net.embeddings(images, partial(template_views, moves=MOVES + FAR))
    templates = mean_templates(shown, images.labels, len(palms.identities))
    probes = net.embeddings(others, template_views)
    for template, probe, mirrored in WAYS:
        best = [
            _best(probes[:, view, PLACES[probe]], templates[:, view, PLACES[template]])
            for view in ((0, 1) if mirrored else (0,))
        ]
        yield (template, probe, mirrored), np.mean(best, axis=0)


def _best(probes: Float32, templates: Float32) -> Float32:
    """The best cosine [P, T] of any move of a probe [P, M, D] to any of a template [T, N, D]."""
    columns = templates.reshape(-1, templates.shape[-1]).T
    found = [
        (move @ columns).reshape(len(move), *templates.shape[:2]).max(axis=2)
        for move in probes.swapaxes(0, 1)
    ]
    return np.max(found, axis=0)


def _judge(similarities: Float32, trials: Trials) -> dict[str, float | None]:
    comparisons = Comparisons(similarities, trials)
    size = len(trials.owners) * 3 // 4
    weights = draw_subjects(trials.subject_count, SEED)
    (gallery,) = open_set(comparisons, [size], seed=SEED, weights=weights)
    rate = gallery.fnir[FPIR]
    count = sum(len(block) for block in comparisons.impostors())
    tail = highest(comparisons.impostors(), allowed(max(FMRS), count) + 1)
    thresholds = {fmr: threshold_at(tail, fmr, count) for fmr in FMRS}
    fnmr = {
        f"FNMR at FMR {name_rate(fmr)}": None if at is None else fnmr_at(comparisons.genuine(), at)
        for fmr, at in thresholds.items()
    }
    return {f"FNIR at FPIR {FPIR:.0%}, N = {size}": rate and rate.value, **fnmr}


def as_markdown(rows: Rows) -> str:
    """A row for each way; in a cell the figures of one net."""
    matchers = list(next(iter(rows.values())))
    figures = list(next(iter(rows.values()))[matchers[0]])
    heads = ["template x probe", "mirrored", *matchers, "images of a probe, of a template"]
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
