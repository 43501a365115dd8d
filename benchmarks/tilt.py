"""Measures what it costs to turn the palm away from the camera.

    python -m benchmarks.tilt [--palms 300] [--seed 906] [--json PATH]

Every palm is photographed upright, for its template, and at each of several tilts about an axis of
any direction, before plain backgrounds of the style for judging. All palms are compared with each
other after the mean map of the templates was subtracted; the threshold is the score that upright
impostors reach at `FMR`. A photograph in which the service finds no palm counts as refused, not as
a false non-match.
"""

import argparse
import json
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.ensemble import Ensemble
from app.matching.intervals import wilson_interval
from app.matching.mean_map import MapSum
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.decode import ImageLimits
from app.palm.errors import PalmImageError
from app.palm.reader import Palm, PalmReader
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.whole_hands import Maps, join, maps_of
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.hands import JUDGE_HANDS, draw_hand
from training.synthetic.palms import draw_identity
from training.synthetic.scenes import JUDGE
from training.versions.compare import compare_maps

TILTS_DEG = (0, 10, 20, 30, 40, 50)

FMR = 1e-3

PLAIN = replace(JUDGE_HANDS, scenes=(JUDGE[0],), sizes=((640, 480),))
"""One background, so that the tilt alone differs."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a tilt of the palm costs.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--palms", type=int, default=300)
    parser.add_argument("--seed", type=int, default=906)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    ensemble = load_ensemble(options.models, NETS, "openvino")
    reader = PalmReader(load_finder(options.models), limits=ImageLimits(), mode="hand")
    shots: list[list[Palm | None]] = []
    for number in tqdm(range(options.palms), "palms"):
        palm = draw_identity(options.seed, number)
        seeds = [(len(TILTS_DEG) + 1) * number + shot for shot in range(len(TILTS_DEG) + 1)]
        tilts = (0, *TILTS_DEG)
        shots.append(
            [
                photograph(palm, options.seed, seed, tilt, reader, ensemble.input_px)
                for seed, tilt in zip(seeds, tilts, strict=True)
            ]
        )
    report = {"machine": machine, "palms": options.palms, "rows": measure(shots, ensemble)}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def photograph(
    palm: NDArray[np.uint8], seed: int, number: int, tilt_deg: float, reader: PalmReader, px: int
) -> Palm | None:
    """Draws a palm at a tilt and reads it; returns None if it is not found."""
    style = replace(PLAIN, tilt_deg=(tilt_deg, tilt_deg))
    image, _ = draw_hand(seed, number, style, palm)
    try:
        return reader.find(image, px)
    except PalmImageError:
        return None


def measure(shots: list[list[Palm | None]], ensemble: Ensemble) -> list[dict[str, Any]]:
    """Returns a row for each tilt, of the palms whose template's photograph is found."""
    enrolled = [own for own in shots if own[0] is not None]
    templates = join([_maps(own[0], ensemble) for own in enrolled])
    means = [
        reduce(add, [MapSum.of(maps[i : i + 1]) for i in range(len(maps))]).mean()
        for maps in templates
    ]
    rows: list[dict[str, Any]] = []
    threshold = 0.0
    for column, tilt in enumerate(TILTS_DEG, start=1):
        found = [row for row, own in enumerate(enrolled) if own[column] is not None]
        if not found:
            continue
        probes = join([_maps(enrolled[row][column], ensemble) for row in found])
        scores = ensemble.fusion.combine(
            [
                compare_maps(own, template, mean, "fused")
                for own, template, mean in zip(probes, templates, means, strict=True)
            ]
        )
        own = np.zeros(scores.shape, bool)
        own[np.arange(len(found)), found] = True
        if column == 1:
            threshold = float(np.quantile(scores[~own], 1 - FMR))
        poses = [palm.quality.pose for row in found if (palm := enrolled[row][column]) is not None]
        missed = int((scores[own] < threshold).sum())
        rows.append(
            {
                "tilt": tilt,
                "found": len(found),
                "photographs": len(enrolled),
                "pose": np.quantile(np.array(poses, float), (0.05, 0.5, 0.95)).tolist(),
                "fnmr": [missed / len(found), *wilson_interval(missed, len(found))],
                "fmr": float((scores[~own] >= threshold).mean()),
            }
        )
    return rows


def _maps(palm: Palm | None, ensemble: Ensemble) -> Maps:
    assert palm is not None
    return maps_of(ensemble, palm.pixels, palm.skin)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the rows as a table."""
    lines = [
        f"{report['palms']} palms, one template, one probe at each tilt; "
        f"{as_sentence(report['machine'])}.",
        "",
        f"| tilt | found | pose: 5 %, median, 95 % | FNMR at FMR {FMR:.0e} | FMR |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        rate, low, high = row["fnmr"]
        poses = ", ".join(f"{value:.2f}" for value in row["pose"])
        lines.append(
            f"| {row['tilt']}° | {row['found']} of {row['photographs']} | {poses} "
            f"| {rate:.1%} ({low:.1%} to {high:.1%}) | {row['fmr']:.1e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
