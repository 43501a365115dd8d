"""Measures how many rightful subjects the coarse maps lose in a large gallery.

    python -m benchmarks.candidates [--style held-out] [--palms 3750] [--probes 11] [--json PATH]

Draws palms that no net was trained on. One image of each palm is its template, and each other
image, from a session of its own, is a probe. In a large gallery the service compares a probe fully
with only those subjects whose coarse maps are the most similar. A probe whose own subject is not
among them is missed. It is lost if the fused score of all nets would have reached the
threshold. Drawing needs 50 KB of memory for each image.
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
from tqdm import tqdm

from app.gallery.index.comparison import CANDIDATES, choose_proposer, coarse_similarity
from app.gallery.index.rows import Rows
from app.matching.calibration import FPIR_TARGET
from app.matching.cohort import compare_cohort
from app.matching.fusion import Fusion, weighted_sum
from app.matching.impostors import MAX_COHORT, Impostors
from app.matching.intervals import wilson_interval
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.scores import compare_each
from app.nets.manifest import highest_version
from benchmarks.machine import as_sentence, describe_machine
from training.database.palms import Palms
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.fuse import read_fusion
from training.versions.read import Version

PROPOSED = (16, 32, 64, CANDIDATES, 2 * CANDIDATES)
"""Numbers of candidates that are measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the candidates of a large gallery.")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
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
    nets = [Version.open(highest_version(arguments.store, net)) for net in NETS]
    fusion = read_fusion(arguments.store, [net.key for net in nets])
    drawn = draw_strangers(
        arguments.palms,
        arguments.seed,
        STYLES[arguments.style],
        sessions=1 + arguments.probes,
        shots=1,
        side_px=nets[0].input_px,
        cameras=arguments.cameras,
    )
    proposer = nets[choose_proposer(fusion.weights, [net.calibration for net in nets])]
    figures = measure(nets, fusion, proposer, drawn)
    report: dict[str, Any] = {
        "machine": machine,
        "net": str(proposer.key),
        "style": arguments.style,
        "palms": arguments.palms,
        **figures,
    }
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(
    nets: Sequence[Version], fusion: Fusion, proposer: Version, drawn: Palms
) -> dict[str, Any]:
    """Returns the number of searches, and those missed and lost by number of candidates."""
    enrolled, probes = drawn.select(drawn.sessions == 0), drawn.select(drawn.sessions > 0)
    ranks = find_ranks(proposer.maps(enrolled), proposer.maps(probes), probes.labels)
    missed = ranks >= PROPOSED[0]
    found = would_be_found(nets, fusion, enrolled, probes.select(missed))
    return {
        "searches": len(ranks),
        "missed": {most: int((ranks >= most).sum()) for most in PROPOSED},
        "lost": {most: int((found & (ranks[missed] >= most)).sum()) for most in PROPOSED},
    }


def find_ranks(
    templates: VeinMaps, probes: VeinMaps, subjects: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Returns how many subjects are more similar to each probe than its own, by coarse maps.

    Args:
        templates: one map of each subject, in order.
        probes: P maps.
        subjects: int32 [P], each probe's subject.
    """
    mean, rows = sum_of(templates).mean(), Rows(templates.shape, coarse=True)
    rows.append(templates, mean, np.arange(len(templates), dtype=np.int32))
    found = np.empty(len(probes), np.int64)
    for probe in tqdm(range(len(probes)), "searches"):
        one = probes[probe : probe + 1]
        similar = coarse_similarity(rows.view(), len(templates), one, mean)
        # Against itself: one that is exactly as similar may take its place.
        found[probe] = (similar >= similar[subjects[probe]]).sum() - 1
    return found


def would_be_found(
    nets: Sequence[Version], fusion: Fusion, enrolled: Palms, probes: Palms
) -> NDArray[np.bool_]:
    """Tells which of P probes reach the threshold for their own subject, by all nets, bool [P]."""
    own: list[Floats] = []
    cohorts: list[Floats] = []
    for net in nets:
        templates, maps = net.maps(enrolled), net.maps(probes)
        total = sum_of(templates)
        cohort = [templates[i : i + 1] for i in range(min(len(templates), MAX_COHORT))]
        cohorts.append(compare_cohort(cohort, total))
        pairs = [
            compare_each(maps[i : i + 1], templates[subject : subject + 1], total.mean())[0]
            for i, subject in enumerate(probes.labels.tolist())
        ]
        own.append(np.concatenate([np.empty(0, np.float32), *pairs]))
    limit = fusion.calibration.at(
        FPIR_TARGET / len(enrolled),
        np.ones(1, np.int64),
        probes=1,
        impostors=Impostors.of(weighted_sum(fusion.weights, cohorts)),
    )
    return weighted_sum(fusion.weights, own) >= limit.scores[0]


def sum_of(templates: VeinMaps) -> MapSum:
    """Returns the sum over subjects with one map each."""
    return reduce(add, (MapSum.of(templates[i : i + 1]) for i in range(len(templates))))


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each number of candidates."""
    searches = report["searches"]
    lines = [
        f"{report['net']}; {report['palms']:,} palms in the {report['style']} style, one image "
        f"enrolled; {searches:,} searches.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| candidates | own subject not among them | of these, lost | 95 % interval of the lost |",
        "|---|---|---|---|",
    ]
    for most, lost in report["lost"].items():
        low, high = wilson_interval(lost, searches)
        lines.append(f"| {most} | {report['missed'][most]} | {lost} | {low:.4%} to {high:.4%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
