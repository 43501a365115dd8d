"""Measures how well one threshold holds before many cameras.

    python -m benchmarks.cameras [--nets NAME ...] [--cameras 8] [--palms 80] [--json PATH]

Draws palms before several cameras of each style that training never draws. Half of the palms before
a camera are a site's enrolled subjects. The others are strangers, who are compared with each other.
Four thresholds for one FMR are compared, all after the site's mean map was subtracted:

- a similarity;
- a similarity in deviations of the site's impostors, as up to version 11;
- a score, which counts deviations of each map's similarities to the cohort;
- a score in deviations of the site's impostors, as the service counts.

Each threshold is the highest that a calibrating style needs, over all of its cameras. The nets'
numbers are averaged. So the figures compare ways to set a threshold, not shipped thresholds.
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

from app.matching.calibration import lowest_reached
from app.matching.cohort import compare_cohort
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.nets.manifest import highest_version
from benchmarks.machine import as_sentence, describe_machine
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.case import Trials
from training.versions.compare import compare_maps
from training.versions.read import Version

CALIBRATING = ("contact", "mobile")
JUDGING = ("polarized", "held-out")
FIRST_SEED = 500
"""Seed of the first camera of each style; no shipped threshold was measured with it."""
WAYS = ("similarity", "similarity in site deviations", "score", "score in site deviations")


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
    found: list[Trials] = []
    by_net = [net.maps(drawn) for net in nets]
    for scaled in (False, True):
        compared: list[NDArray[np.float32]] = []
        cohorts: list[NDArray[np.float32]] = []
        for net, own_maps in zip(nets, by_net, strict=True):
            maps = own_maps if scaled else VeinMaps(own_maps.values, own_maps.usable)
            templates, probes = maps[drawn.sessions == 0], maps[drawn.sessions == 1]
            subjects = [templates[i : i + 1] for i in range(enrolled)]
            total = reduce(add, map(MapSum.of, subjects))
            strangers = probes[enrolled:], templates[enrolled:]
            compared.append(compare_maps(*strangers, total.mean(), str(net.key)))
            cohorts.append(compare_cohort(subjects, total))
        numbers = np.mean(compared, axis=0)
        found += [Trials(numbers, own), Trials(numbers, own, np.mean(cohorts, axis=0)).scaled()]
    return found


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
