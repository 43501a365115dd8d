"""Measures how well one threshold holds before many cameras.

    python -m benchmarks.cameras [--nets NAME ...] [--cameras 8] [--palms 80] [--json PATH]

Draws palms before several cameras of each style that training never draws. Half of the palms before
a camera are a site's enrolled subjects. The others are strangers, who are compared with each other.
Three thresholds for one FMR are compared:

- a similarity, without a mean map;
- a similarity, after the subtraction of the site's mean map;
- deviations of the site's impostors, after the same subtraction, as the service counts.

Each threshold is the highest that a calibrating style needs, over all of its cameras. The nets'
similarities are averaged. So the figures compare ways to set a threshold, not shipped thresholds.
"""

import argparse
import json
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import Trials, lowest_reached
from app.matching.cohort import compare_cohort
from app.matching.mean_map import MapSum
from app.nets.manifest import highest_version
from benchmarks.machine import as_sentence, describe_machine
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.compare import compare_maps
from training.versions.read import Version

CALIBRATING = ("contact", "mobile")
JUDGING = ("polarized", "held-out")
FIRST_SEED = 500
"""Seed of the first camera of each style; no shipped threshold was measured with it."""
WAYS = ("similarity, no mean map", "similarity, mean map", "deviations, mean map")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures thresholds before many cameras.")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--cameras", type=int, default=8, help="cameras of each style")
    parser.add_argument("--palms", type=int, default=80, help="palms before each camera, from 42")
    parser.add_argument("--fmrs", type=float, nargs="+", default=[1e-2, 1e-3])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if arguments.palms < 42:
        parser.error(f"--palms {arguments.palms}: 20 enrolled palms and 21 strangers need 42")
    machine = describe_machine()
    nets = [Version.open(highest_version(arguments.store, net)) for net in arguments.nets]
    found = {
        style: [
            measure(nets, style, FIRST_SEED + camera, arguments.palms)
            for camera in range(arguments.cameras)
        ]
        for style in (*CALIBRATING, *JUDGING)
    }
    rows = [tabulate(found, way, fmr) for fmr in arguments.fmrs for way in range(len(WAYS))]
    report = {"machine": machine, "nets": [str(net.key) for net in nets], "rows": rows}
    print(as_markdown(report, arguments))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(nets: Sequence[Version], style: str, seed: int, palms: int) -> list[Trials]:
    """Compares the strangers before one camera, once for each of `WAYS`."""
    drawn = draw_strangers(palms, seed, STYLES[style], shots=1, side_px=nets[0].input_px, cameras=1)
    enrolled = palms // 2
    own = np.arange(palms - enrolled)
    plain: list[NDArray[np.float32]] = []
    centred: list[NDArray[np.float32]] = []
    cohorts: list[NDArray[np.float32]] = []
    for net in nets:
        maps = net.maps(drawn)
        templates, probes = maps[drawn.sessions == 0], maps[drawn.sessions == 1]
        subjects = [templates[i : i + 1] for i in range(enrolled)]
        total = reduce(add, map(MapSum.of, subjects))
        mean, name = total.mean(), str(net.key)
        strangers = probes[enrolled:], templates[enrolled:]
        plain.append(compare_maps(*strangers, None, name))
        centred.append(compare_maps(*strangers, mean, name))
        cohorts.append(compare_cohort(subjects, total))
    without, minus_mean, cohort = (np.mean(one, axis=0) for one in (plain, centred, cohorts))
    return [
        Trials(without, own),
        Trials(minus_mean, own),
        Trials(minus_mean, own, cohort).scaled(),
    ]


def tabulate(found: dict[str, list[list[Trials]]], way: int, fmr: float) -> dict[str, Any]:
    """Returns the observed rates of one way at the threshold for one FMR."""
    cameras = {style: [one[way] for one in of] for style, of in found.items()}
    pooled = [np.concatenate([one.impostors() for one in cameras[s]]).ravel() for s in CALIBRATING]
    threshold = max(float(lowest_reached(one, [fmr])[0]) for one in pooled)
    styles: dict[str, Any] = {}
    for style in JUDGING:
        fmrs = [float((one.impostors() >= threshold).mean()) for one in cameras[style]]
        missed = np.concatenate([one.genuine() < threshold for one in cameras[style]])
        styles[style] = {
            "fmr": float(np.mean(fmrs)),
            "highest": max(fmrs),
            "comparisons": sum(one.impostors().size for one in cameras[style]),
            "fnmr": float(missed.mean()),
            "probes": len(missed),
        }
    return {"stated": fmr, "threshold counts": WAYS[way], "styles": styles}


def as_markdown(report: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Returns the rates as a table."""
    comparisons = report["rows"][0]["styles"][JUDGING[0]]["comparisons"]
    lines = [
        f"{', '.join(report['nets'])}; {arguments.cameras} cameras of each style, "
        f"{arguments.palms} palms before each, one template; {comparisons:,} comparisons of "
        "strangers in each style.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| stated FMR | threshold counts | "
        + " | ".join(f"{style}: FMR, highest of a camera, FNMR" for style in JUDGING)
        + " |",
        "|---|---|" + "---|" * len(JUDGING),
    ]
    for row in report["rows"]:
        cells = [
            f"{one['fmr']:.1e}, {one['highest']:.1e}, {one['fnmr']:.1%}"
            for one in row["styles"].values()
        ]
        lines.append(
            f"| {row['stated']:.0e} | {row['threshold counts']} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
