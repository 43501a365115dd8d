"""Measures how many enrolments are refused, rightful ones and those of another palm.

    python -m benchmarks.enrolment [--palms 1000] [--style polarized held-out] [--cameras 4]
                                   [--collections 2] [--json PATH]

Draws palms with three images in each of two sessions. All are enrolled one after another with the
images of the first session, also those that the checks refuse. Then images are added to each, of
its own second session or of another palm's, a palm is enrolled again under another id, and an image
of another palm is put among those of an enrolment. The single checks are the service's own.

With --cameras, palms come before as many cameras in turn, and each request names the palm's camera;
other palms are before the same one. With --collections, palms are in as many collections; then each
palm is enrolled again in another one, too, where nobody knows it.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

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
from app.gallery.index.cameras import UNNAMED
from app.gallery.index.memory import GalleryIndex
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
    "enrolled: known in another collection": "refused",
}
"""Each case, and what is wrong about it."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the checks of an enrolment.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--palms", type=int, default=1000)
    parser.add_argument("--style", nargs="+", choices=sorted(STYLES), default=JUDGING)
    parser.add_argument("--cameras", type=int, default=0, help="named cameras; 0: one, unnamed")
    parser.add_argument("--collections", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    site = Site(options.cameras, options.collections)
    if options.palms % site.turns:
        parser.error(f"--palms must be a multiple of {site.turns}, not {options.palms}")
    machine = describe_machine()
    ensemble = load_ensemble(options.models, NETS, "openvino")
    wrong = {style: measure(ensemble, style, options.palms, site) for style in options.style}
    report = {"machine": machine, "palms": options.palms, **site._asdict(), "wrong": wrong}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


class Site(NamedTuple):
    """Which camera takes a palm's images, and in which collection it is."""

    cameras: int
    collections: int

    @property
    def turns(self) -> int:
        """After how many palms camera and collection are the same again."""
        return max(self.cameras, 1) * self.collections

    def camera(self, number: int) -> str:
        """Returns the name of a palm's camera."""
        return f"camera-{number % self.cameras + 1}" if self.cameras else UNNAMED

    def collection(self, number: int) -> str:
        """Returns a palm's collection."""
        turn = number // max(self.cameras, 1) % self.collections
        return f"collection-{turn + 1}" if self.collections > 1 else DEFAULT


def measure(ensemble: Ensemble, style: str, palms: int, site: Site) -> dict[str, int]:
    """Returns how many of the palms are wrongly refused or accepted, in each case."""
    first, second = draw_maps(ensemble, style, palms, max(site.cameras, 1))
    with TemporaryDirectory() as folder, closing(open_temporary(folder)) as of:
        index = GalleryIndex(of, ensemble.nets, ensemble.fusion.weights)
        wrong = dict.fromkeys(CASES, 0)
        enroll, add, mixed, again, foreign, elsewhere = CASES

        def refuses(check: Callable[[], None]) -> bool:
            try:
                check()
            except (OtherPalm, PalmKnown, PalmsDiffer):
                return True
            return False

        def check_new(subject_id: str, maps: Maps, number: int, collection: str) -> None:
            camera = site.camera(number)
            require_one_palm(ensemble, index, maps, camera=camera)
            require_new_palm(ensemble, index, subject_id, maps, collection, camera=camera)

        def check_added(number: int, maps: Maps) -> None:
            require_own_palm(ensemble, index, str(number), maps, camera=site.camera(number))
            check_new(str(number), maps, number, site.collection(number))

        for number, maps in enumerate(tqdm(first, f"{style}: enrolments")):
            camera, collection = site.camera(number), site.collection(number)
            wrong[enroll] += refuses(partial(check_new, "new", maps, number, collection))
            named = dict(zip(ensemble.formats, maps, strict=True))
            of.enroll(
                str(number), None, None, named, add=False, collection=collection, camera=camera
            )
        index.settle()
        for number in tqdm(range(palms), f"{style}: other tries"):
            own, other = second[number], second[number - site.turns]
            camera, collection = site.camera(number), site.collection(number)
            wrong[add] += refuses(partial(check_added, number, own))
            mix = join([_rows(own, slice(2)), _rows(other, slice(1))])
            wrong[mixed] += not refuses(
                partial(require_one_palm, ensemble, index, mix, camera=camera)
            )
            wrong[again] += not refuses(partial(check_new, "again", own, number, collection))
            wrong[foreign] += not refuses(
                partial(require_own_palm, ensemble, index, str(number), other, camera=camera)
            )
            if site.collections > 1:
                next_one = site.collection(number + max(site.cameras, 1))
                wrong[elsewhere] += refuses(partial(check_new, "again", own, number, next_one))
        index.close()
    return wrong


def draw_maps(
    ensemble: Ensemble, style: str, palms: int, cameras: int
) -> tuple[list[Maps], list[Maps]]:
    """Returns the maps of each palm's first and of its second session."""
    drawn = draw_strangers(
        palms, SEED, STYLES[style], shots=SHOTS, side_px=ensemble.input_px, cameras=cameras
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
        f"{palms:,} palms, {SHOTS} images of a session each; named cameras: {report['cameras']}, "
        f"collections: {report['collections']}; {as_sentence(report['machine'])}.",
        "",
        "| case | wrongly | " + " | ".join(styles) + " |",
        "|---|---|" + "---|" * len(styles),
    ]
    for case, verdict in list(CASES.items())[: None if report["collections"] > 1 else -1]:
        cells: list[str] = []
        for style in styles:
            count = report["wrong"][style][case]
            low, high = wilson_interval(count, palms)
            cells.append(f"{count} ({low:.2%} to {high:.2%})")
        lines.append(f"| {case} | {verdict} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
