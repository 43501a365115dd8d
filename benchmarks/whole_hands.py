"""Measures identification by photographs of whole hands against the same palms cut perfectly.

    python -m benchmarks.whole_hands [--palms 400] [--seed 905] [--json PATH]

Every palm is photographed three times in the style for judging, each time before another background
and with another camera: two templates and a probe. The first half of the palms is enrolled, the
others are strangers. Every photograph is cut twice: by the service's own reader, and by the drawn
geometry. A palm of which the service refuses a photograph is left out of both, and counted. The
trained identities, known from square crops, are then identified by one photograph each.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.ensemble import Ensemble
from app.gallery.index.memory import GalleryIndex
from app.identifier import Identifier
from app.matching.maps import VeinMaps, join_maps
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.decode import ImageLimits
from app.palm.drawing import as_png
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.reader import PalmReader
from app.palm.roi import as_input, vein_channel
from app.palm.square import Square, cut_square
from app.settings import Settings
from benchmarks.gallery import open_temporary
from benchmarks.machine import as_sentence, describe_machine
from training.metrics.rates import wilson_interval
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.hands import JUDGE_HANDS, HandGeometry, draw_hand
from training.synthetic.palms import draw_identity

SHOTS = 3
"""Photographs of each palm; the last is the probe."""

FMRS = (1e-2, 1e-3)
"""Stated rates whose observed ones are counted."""

TRAINED_SEED = 1
"""Seed of the palms that the shipped nets were trained on."""

LEAST = {name: Settings.model_fields[name].default for name in ("quality_enroll", "quality_probe")}
"""Least quality of templates and probes."""

Maps = list[VeinMaps]
"""For each net the maps of one palm's photographs."""


@dataclass(frozen=True)
class Cut:
    """One palm's photographs, cut in two ways.

    Attributes:
        found: the maps of what the reader cut; None if a photograph is refused.
        perfect: the maps of the drawn geometry.
        refused: why, "no palm" or "quality"; None if all are accepted.
    """

    found: Maps | None
    perfect: Maps
    refused: str | None


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures identification by whole hands.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--palms", type=int, default=400, help="half of them are strangers")
    parser.add_argument("--seed", type=int, default=905)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    ensemble = load_ensemble(options.models, NETS, "openvino")
    finder = load_finder(options.models)
    reader = PalmReader(finder, limits=ImageLimits(), mode="auto")
    cuts = [cut(options.seed, i, reader, ensemble) for i in tqdm(range(options.palms), "palms")]
    used = [one for one in cuts if one.found is not None]
    ways = {
        "found by the reader": [one.found for one in used if one.found is not None],
        "cut perfectly": [one.perfect for one in used],
    }
    report = {
        "machine": machine,
        "palms": options.palms,
        "no palm": sum(one.refused == "no palm" for one in cuts),
        "quality": sum(one.refused == "quality" for one in cuts),
        "ways": {name: measure(palms, ensemble) for name, palms in ways.items()},
        "trained": count_trained(reader, ensemble),
    }
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def cut(seed: int, number: int, reader: PalmReader, ensemble: Ensemble) -> Cut:
    """Draws one palm's photographs and cuts each in two ways."""
    palm = draw_identity(seed, number)
    perfect: list[Maps] = []
    found: list[Maps] = []
    refused: str | None = None
    for shot in range(SHOTS):
        image, truth = draw_hand(seed, SHOTS * number + shot, JUDGE_HANDS, palm)
        perfect.append(maps_of(ensemble, _cut_perfectly(image, truth, ensemble.input_px)))
        try:
            seen = reader.find(image, ensemble.input_px)
            seen.quality.refuse_below(
                LEAST["quality_enroll" if shot < SHOTS - 1 else "quality_probe"]
            )
        except PalmImageError as error:
            refused = "quality" if isinstance(error, PoorQuality) else "no palm"
            continue
        found.append(maps_of(ensemble, seen.pixels, seen.skin))
    return Cut(None if refused else join(found), join(perfect), refused)


def _cut_perfectly(
    image: NDArray[np.uint8], truth: HandGeometry, size_px: int
) -> NDArray[np.uint8]:
    side = float(np.hypot(*(truth.corners[1] - truth.corners[0])))
    square = Square(truth.corners, truth.rotation_deg, side)
    return as_input(cut_square(vein_channel(image), square, size_px))


def maps_of(
    ensemble: Ensemble, pixels: NDArray[np.uint8], skin: NDArray[np.bool_] | None = None
) -> Maps:
    """Returns each net's map of a palm's square; all of it is skin unless `skin` says otherwise."""
    seen = np.ones(pixels.shape[:2], np.bool_) if skin is None else skin
    return [
        net.cohort.scaled(net.maps(pixels[np.newaxis]).within(seen[np.newaxis]))
        for net in ensemble.nets
    ]


def join(photographs: Sequence[Maps]) -> Maps:
    """Joins the maps of several photographs, net by net."""
    return [join_maps(of_net) for of_net in zip(*photographs, strict=True)]


def measure(palms: Sequence[Maps], ensemble: Ensemble) -> dict[str, Any]:
    """Enrolls the first half of some palms, and compares every probe with all of these."""
    known = len(palms) // 2
    with TemporaryDirectory() as folder, closing(open_temporary(folder)) as of:
        for number, maps in enumerate(palms[:known]):
            templates = [one[: SHOTS - 1] for one in maps]
            named = dict(zip(ensemble.formats, templates, strict=True))
            of.enroll(f"{number:05}", None, None, named, add=False)
        index = GalleryIndex(of, ensemble.nets, ensemble.fusion.weights)
        rank_1, genuine, accepted, compared = 0, dict.fromkeys(FMRS, 0), dict.fromkeys(FMRS, 0), 0
        for number, maps in enumerate(palms):
            found = index.search([one[SHOTS - 1 :] for one in maps])
            fused = ensemble.fusion.combine(found.by_net)
            own = np.array([int(one.subject_id) == number for one in found.subjects])
            rank_1 += bool(own[fused.argmax()])
            compared += int((~own).sum())
            for fmr in FMRS:
                limits = ensemble.fusion.calibration.at(
                    fmr, found.template_counts, probes=1, impostors=found.fused_impostors
                )
                reached = fused >= limits.scores
                genuine[fmr] += int((reached & own).sum())
                accepted[fmr] += int((reached & ~own).sum())
        index.close()
    return {
        "enrolled": known,
        "rank 1": [rank_1 / known, *wilson_interval(rank_1, known)],
        "fnmr": {str(fmr): 1 - genuine[fmr] / known for fmr in FMRS},
        "fmr": {str(fmr): accepted[fmr] / compared for fmr in FMRS},
        "comparisons": compared,
    }


def count_trained(reader: PalmReader, ensemble: Ensemble) -> dict[str, int]:
    """Identifies the trained identities by one photograph of the hand of each."""
    counts: Counter[str] = Counter()
    settings = Settings()
    with TemporaryDirectory() as folder, closing(open_temporary(folder)) as of:
        of.seed_trained(ensemble.identities)
        identifier = Identifier(
            ensemble,
            of,
            reader,
            fpir_target=settings.fpir_target,
            fmr_target=settings.fmr_target,
            quality_enroll=settings.quality_enroll,
            quality_probe=settings.quality_probe,
        )
        for number, name in enumerate(tqdm(ensemble.identities, "trained identities")):
            palm = draw_identity(TRAINED_SEED, number)
            image, _ = draw_hand(TRAINED_SEED, number, JUDGE_HANDS, palm)
            try:
                matched = identifier.identify([as_png(image)]).identity
            except PalmImageError:
                counts["refused"] += 1
                continue
            right = matched is not None and matched.subject_id == name
            counts["right" if right else "another" if matched else "nobody"] += 1
        identifier.close()
    return dict(counts)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    lines = [
        f"{as_sentence(report['machine'])}. {report['palms']} palms; of {report['no palm']} a "
        f"photograph is refused because no palm is found, of {report['quality']} for its quality.",
        "",
        "| palms | enrolled | rank-1 | "
        + " | ".join(f"at a stated FMR of {fmr:.0e}: FNMR, observed FMR" for fmr in FMRS)
        + " | comparisons |",
        "|---|---|---|" + "---|" * len(FMRS) + "---|",
    ]
    for name, row in report["ways"].items():
        rate, low, high = row["rank 1"]
        rates = [f"{row['fnmr'][str(fmr)]:.2%}, {row['fmr'][str(fmr)]:.1e}" for fmr in FMRS]
        lines.append(
            f"| {name} | {row['enrolled']} | {rate:.2%} ({low:.2%} to {high:.2%}) | "
            + " | ".join(rates)
            + f" | {row['comparisons']:,} |"
        )
    trained = ", ".join(f"{count} {name}" for name, count in report["trained"].items())
    lines += ["", f"Trained identities, by one photograph of the hand of each: {trained}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
