"""Measures how many rightful subjects the coarse maps lose in a large gallery.

    python -m benchmarks.candidates [--net vgg16] [--style held-out] [--palms 3750] [--probes 11]

Draws palms that no net was trained on. One image of each palm is its template, and each other
image, from a session of its own, is a probe. In a large gallery the service compares a probe fully
with only those subjects whose coarse maps are the most similar; a probe whose own subject is not
among them is lost. Drawing needs 50 KB of memory for each image.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.gallery.comparison import CANDIDATES, coarse_similarity
from app.gallery.rows import Rows
from app.matching.intervals import wilson_interval
from app.matching.maps import VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.nets.manifest import highest_version
from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.read import Version

PROPOSED = (16, 32, 64, CANDIDATES, 2 * CANDIDATES)
"""Numbers of candidates that are measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the candidates of a large gallery.")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--net", default="vgg16", help="the net that proposes the candidates")
    parser.add_argument("--style", choices=sorted(STYLES), default="held-out")
    parser.add_argument("--palms", type=int, default=3750, help=f"{MIN_SUBJECTS} or more")
    parser.add_argument("--probes", type=int, default=11, help="probes of each palm")
    parser.add_argument("--cameras", type=int, default=0, help="cameras; 0: one for each palm")
    parser.add_argument("--seed", type=int, default=700, help="seed of the palms")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if arguments.palms < MIN_SUBJECTS or arguments.probes < 1:
        parser.error(f"--palms must be at least {MIN_SUBJECTS} and --probes at least 1")
    machine = describe_machine()
    net = Version.open(highest_version(arguments.store, arguments.net))
    drawn = draw_strangers(
        arguments.palms,
        arguments.seed,
        STYLES[arguments.style],
        sessions=1 + arguments.probes,
        shots=1,
        side_px=net.input_px,
        cameras=arguments.cameras,
    )
    maps, enrolled = net.maps(drawn), drawn.sessions == 0
    ranks = find_ranks(maps[enrolled], maps[~enrolled], drawn.labels[~enrolled])
    report: dict[str, Any] = {
        "machine": machine,
        "net": str(net.key),
        "style": arguments.style,
        "palms": arguments.palms,
        "searches": len(ranks),
        "lost": {most: int((ranks >= most).sum()) for most in PROPOSED},
    }
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def find_ranks(
    templates: VeinMaps, probes: VeinMaps, subjects: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Returns how many subjects are more similar to each probe than its own, by coarse maps.

    Args:
        templates: one map of each subject, in order.
        probes: P maps.
        subjects: int32 [P], each probe's subject.
    """
    total = MapSum.empty(templates.shape)
    for subject in range(len(templates)):
        total += MapSum.of(templates[subject : subject + 1])
    mean, rows = total.mean(), Rows(templates.shape, coarse=True)
    rows.append(templates, mean, np.arange(len(templates), dtype=np.int32))
    found = np.empty(len(probes), np.int64)
    for probe in tqdm(range(len(probes)), "searches"):
        one = probes[probe : probe + 1]
        similar = coarse_similarity(rows.view(), len(templates), one, mean)
        # Against itself: one that is exactly as similar may take its place.
        found[probe] = (similar >= similar[subjects[probe]]).sum() - 1
    return found


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each number of candidates."""
    searches = report["searches"]
    lines = [
        f"{report['net']}; {report['palms']:,} palms in the {report['style']} style, one image "
        f"enrolled; {searches:,} searches.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| candidates | searches that lose the rightful subject | 95 % interval |",
        "|---|---|---|",
    ]
    for most, lost in report["lost"].items():
        low, high = wilson_interval(lost, searches)
        lines.append(f"| {most} | {lost} ({lost / searches:.3%}) | {low:.3%} to {high:.3%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
