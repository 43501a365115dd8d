"""Measures how many enrolments are refused, rightful ones and those of another palm.

    python -m benchmarks.enrolment [--palms 1000] [--style polarized held-out] [--json PATH]

Draws palms with three images in each of two sessions. All are enrolled one after another with the
images of the first session, also those that the checks refuse. Then images are added to each, of
its own second session or of another palm's, a palm is enrolled again under another id, and an image
of another palm is put among those of an enrolment. The single checks are the service's own.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from app.enrolment import (
    OtherPalm,
    PalmKnown,
    PalmsDiffer,
    require_new_palm,
    require_one_palm,
    require_own_palm,
)
from app.ensemble import Ensemble
from app.gallery.collection import DEFAULT
from app.gallery.index import GalleryIndex
from app.matching.intervals import wilson_interval
from app.matching.maps import join_maps
from app.nets.store import load_ensemble
from benchmarks.gallery import open_temporary
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.whole_hands import Maps, join
from training.fit.batches import as_colour
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES

JUDGING = ("polarized", "held-out")

SHOTS = 3
SEED = 907
CASES = {
    "enrolled: own images": "refused",
    "add=true: own images of another session": "refused",
    "enrolled: an image of another palm among three": "accepted",
    "enrolled: known under another id": "accepted",
    "add=true: another's palm": "accepted",
}
"""Each case, and what is wrong about it."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the checks of an enrolment.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--palms", type=int, default=1000)
    parser.add_argument("--style", nargs="+", choices=sorted(STYLES), default=JUDGING)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    ensemble = load_ensemble(options.models, NETS, "openvino")
    wrong = {style: measure(ensemble, style, options.palms) for style in options.style}
    report = {"machine": machine, "palms": options.palms, "wrong": wrong}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def measure(ensemble: Ensemble, style: str, palms: int) -> dict[str, int]:
    """Returns how many of the palms are wrongly refused or accepted, in each case."""
    first, second = draw_maps(ensemble, style, palms)
    with TemporaryDirectory() as folder, closing(open_temporary(folder)) as of:
        index = GalleryIndex(of, ensemble.nets, ensemble.fusion.weights)
        wrong = dict.fromkeys(CASES, 0)
        enroll, add, mixed, again, foreign = CASES

        def refuses(check: Callable[[], None]) -> bool:
            try:
                check()
            except (OtherPalm, PalmKnown, PalmsDiffer):
                return True
            return False

        def check_new(subject_id: str, maps: Maps) -> None:
            require_one_palm(ensemble, index, maps)
            require_new_palm(ensemble, index, subject_id, maps, DEFAULT)

        def check_added(subject_id: str, maps: Maps) -> None:
            require_own_palm(ensemble, index, subject_id, maps)
            check_new(subject_id, maps)

        for number, maps in enumerate(tqdm(first, f"{style}: enrolments")):
            wrong[enroll] += refuses(lambda maps=maps: check_new("new", maps))
            named = dict(zip(ensemble.formats, maps, strict=True))
            of.enroll(str(number), None, None, named, add=False)
        index.settle()
        for number in tqdm(range(palms), f"{style}: other tries"):
            own, other = second[number], second[number - 1]
            wrong[add] += refuses(lambda n=number, own=own: check_added(str(n), own))
            mix = join([_rows(own, slice(2)), _rows(other, slice(1))])
            wrong[mixed] += not refuses(lambda mix=mix: require_one_palm(ensemble, index, mix))
            wrong[again] += not refuses(lambda own=own: check_new("again", own))
            wrong[foreign] += not refuses(
                lambda n=number, other=other: require_own_palm(ensemble, index, str(n), other)
            )
        index.close()
    return wrong


def draw_maps(ensemble: Ensemble, style: str, palms: int) -> tuple[list[Maps], list[Maps]]:
    """Returns the maps of each palm's first and of its second session."""
    drawn = draw_strangers(
        palms, SEED, STYLES[style], shots=SHOTS, side_px=ensemble.input_px, cameras=1
    )
    sessions: list[list[Maps]] = [[], []]
    for number in tqdm(range(palms), f"{style}: maps"):
        for session, found in enumerate(sessions):
            rows = np.flatnonzero((drawn.labels == number) & (drawn.sessions == session))
            images = as_colour(drawn.images(rows))
            found.append(
                [
                    net.cohort.scaled(join_maps([net.maps(image[None]) for image in images]))
                    for net in ensemble.nets
                ]
            )
    return sessions[0], sessions[1]


def _rows(maps: Maps, rows: slice) -> Maps:
    return [one[rows] for one in maps]


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    styles, palms = list(report["wrong"]), report["palms"]
    lines = [
        f"{palms:,} palms, {SHOTS} images of a session each; {as_sentence(report['machine'])}.",
        "",
        "| case | wrongly | " + " | ".join(styles) + " |",
        "|---|---|" + "---|" * len(styles),
    ]
    for case, verdict in CASES.items():
        cells: list[str] = []
        for style in styles:
            count = report["wrong"][style][case]
            low, high = wilson_interval(count, palms)
            cells.append(f"{count} ({low:.2%} to {high:.2%})")
        lines.append(f"| {case} | {verdict} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
