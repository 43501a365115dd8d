"""Measures how well hands are found on drawn hands that the finder was not tuned on.

    python -m benchmarks.hands [--hands 2000] [--crops 500] [--nothing 500] [--seed 901]
        [--photos DIR]

The hands are of the style `JUDGE_HANDS`, with backgrounds and sensors of their own.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.compare import LEAST_PROBABLE
from app.inspection import SQUARE_PX
from app.nets.finder_store import load_finder
from app.palm.decode import ImageLimits
from app.palm.errors import PalmImageError, PalmNotFound
from app.palm.finder import Finder
from app.palm.hand import Region, locate
from app.palm.landmarks import DIRECTIONS
from app.palm.reader import TURNED, PalmReader
from app.settings import Settings
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.no_palms import NO_PALMS, kinds_in
from training.metrics.rates import wilson_interval
from training.report.files import write_text
from training.synthetic.hands import JUDGE_HANDS, HandGeometry, draw_hand
from training.synthetic.palms import draw_identity, photograph
from training.synthetic.styles import STYLES

CLOSE = 0.03
"""Greatest error of a gap that counts as right, in palm widths."""

WRONG = 0.1
"""Error beyond which a hand counts as wrongly cut: the maps' shifts cannot make up for it."""

TAKEN_FOR = ("roi", "hand", "refused")

PALMS = 40  # drawn palms that take turns in the hands


@dataclass(frozen=True)
class Outcome:
    """What became of one drawn hand.

    Attributes:
        kind: "hand", "roi" or "refused".
        error: largest error of the three gaps, in palm widths; infinite unless a hand was found.
        right_hand: whether left and right were told apart correctly.
        ms: time of the search.
        truth: the drawn geometry.
        longer_px: longer side of the image.
    """

    kind: str
    error: float
    right_hand: bool
    ms: float
    truth: HandGeometry
    longer_px: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how well hands are found.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--hands", type=int, default=2000)
    parser.add_argument("--crops", type=int, default=500, help="drawn crops, of all styles in turn")
    parser.add_argument("--nothing", type=int, default=500, help="images that show no palm")
    parser.add_argument("--photos", type=Path, help="folder of other photographs without a palm")
    parser.add_argument("--seed", type=int, default=901)
    parser.add_argument("--repeats", type=int, default=10, help="images timed in each size")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    machine = describe_machine()
    finder = load_finder(options.models)
    others = {**NO_PALMS, **(kinds_in(options.photos) if options.photos else {})}
    palms = [draw_identity(options.seed, i) for i in range(PALMS)]
    outcomes = [
        judge(options.seed, i, palms[i % PALMS], finder)
        for i in tqdm(range(options.hands), "hands")
    ]
    report = {
        "machine": machine,
        "seed": options.seed,
        "hands": {name: share(chosen) for name, chosen in conditions(outcomes).items()},
        "crops": count_kinds(draw_crops(options.crops, options.seed), finder),
        "directions": tell_directions(draw_crops(options.crops, options.seed), finder),
        "nothing": count_kinds(draw_others(options.nothing, options.seed, others), finder),
        "enroll from": Settings.model_fields["quality_enroll"].default,
        "ms": {name: time_size(size, options, finder) for name, size in SIZES.items()},
    }
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def find(image: NDArray[np.uint8], finder: Finder) -> Region | None:
    """Looks for the palm in an image."""
    try:
        return locate(image, finder)
    except PalmNotFound:
        return None


def judge(seed: int, number: int, palm: NDArray[np.uint8], finder: Finder) -> Outcome:
    """Draws a hand and looks for it."""
    image, truth = draw_hand(seed, number, JUDGE_HANDS, palm)
    start = time.perf_counter()
    region = find(image, finder)
    ms = (time.perf_counter() - start) * 1e3
    hand = region.hand if region else None
    longer_px = max(image.shape[:2])
    if hand is None:
        return Outcome("roi" if region else "refused", np.inf, False, ms, truth, longer_px)
    error = float(np.hypot(*(hand.gaps - truth.gaps).T).max()) / truth.palm_width_px
    return Outcome("hand", error, hand.hand == truth.hand, ms, truth, longer_px)


def conditions(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Returns the outcomes of all hands and by condition."""
    keys: dict[str, Callable[[Outcome], str]] = {
        "scene": lambda o: o.truth.scene,
        "hand": lambda o: o.truth.hand,
        "spread": lambda o: ("0 to 0.1", "to 0.5", "to 1")[
            int(np.digitize(o.truth.spread, [0.1, 0.5]))
        ],
        "tilt": lambda o: ("to 10°", "to 20°", "to 35°")[
            int(np.digitize(o.truth.tilt_deg, [10, 20]))
        ],
        "contrast with the background": lambda o: (
            "below 0.12" if o.truth.contrast < 0.12 else "0.12 or more"
        ),
        "rotation": lambda o: f"octant {int(o.truth.rotation_deg // 45) % 8}",
        "colour": lambda o: "RGB" if o.truth.coloured else "grey",
        "longer side": lambda o: f"{o.longer_px} px",
    }
    groups = {"all": outcomes}
    for name, key in keys.items():
        for value in sorted({key(o) for o in outcomes}):
            groups[f"{name}: {value}"] = [o for o in outcomes if key(o) == value]
    return groups


def share(outcomes: list[Outcome]) -> dict[str, Any]:
    """Returns the rates of some hands, the 95 % intervals as pairs."""
    found = [o for o in outcomes if o.kind == "hand"]
    close = sum(o.error <= CLOSE for o in found)
    wrong = sum(o.error > WRONG for o in found)
    return {
        "hands": len(outcomes),
        "close of all": [close / len(outcomes), *wilson_interval(close, len(outcomes))],
        "close of found": [close / max(len(found), 1), *wilson_interval(close, max(len(found), 1))],
        "wrong": [wrong / len(outcomes), *wilson_interval(wrong, len(outcomes))],
        "refused": sum(o.kind == "refused" for o in outcomes) / len(outcomes),
        "taken as crops": sum(o.kind == "roi" for o in outcomes),
        "hand right": sum(o.right_hand for o in found) / max(len(found), 1),
        "ms p50": float(np.median([o.ms for o in outcomes])),
        "ms p95": float(np.quantile([o.ms for o in outcomes], 0.95)),
    }


def draw_crops(count: int, seed: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draws crops of palms, of all styles in turn."""
    styles = list(STYLES.items())
    for number in tqdm(range(count), "crops"):
        name, style = styles[number % len(styles)]
        yield name, photograph(number, seed=seed, style=style, sessions=1, shots=1)[0][0]


def draw_others(
    count: int, seed: int, others: Mapping[str, Callable[[np.random.Generator], NDArray[np.uint8]]]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draws images that show no palm, of all kinds in turn."""
    kinds = list(others.items())
    for number in tqdm(range(count), "no palms"):
        name, draw = kinds[number % len(kinds)]
        yield name, draw(np.random.default_rng([seed, number]))


def count_kinds(
    images: Iterable[tuple[str, NDArray[np.uint8]]], finder: Finder
) -> dict[str, dict[str, int]]:
    """Returns as what images could be enrolled, by their kind."""
    reader = PalmReader(finder, limits=ImageLimits(), mode="auto")
    least = Settings.model_fields["quality_enroll"].default
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, image in images:
        try:
            palm = reader.find(image, SQUARE_PX)
            palm.quality.refuse_below(least)
        except PalmImageError:
            counts[name]["refused"] += 1
        else:
            counts[name][palm.region.capture] += 1
    return {name: dict(found) for name, found in counts.items()}


def tell_directions(
    crops: Iterable[tuple[str, NDArray[np.uint8]]], finder: Finder
) -> dict[str, dict[str, float]]:
    """Returns for each style what the finder tells of crops that are turned in all directions.

    Shares of the crops: `right`, the direction is the most probable one; `missed`, it is so
    improbable that the service does not try it; `warned`, another one is so probable that the
    service warns. And `others`, the mean number of other directions that the service tries.
    """
    found: defaultdict[str, list[list[float]]] = defaultdict(list)
    for name, crop in crops:
        for quarters in range(len(DIRECTIONS)):
            turned = np.ascontiguousarray(np.rot90(crop, -quarters))
            odds = np.roll(finder.glance(turned).found.direction, -quarters)  # the true one first
            tried = (odds[1:] >= LEAST_PROBABLE).sum()
            found[name].append(
                [odds.argmax() == 0, odds[0] < LEAST_PROBABLE, odds[1:].max() >= TURNED, tried]
            )
    names = ("right", "missed", "warned", "others")
    return {
        style: dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
        for style, rows in found.items()
    }


SIZES = {"768x576": (768, 576), "4000x3000": (4000, 3000)}
"""Widths and heights that are timed."""


def time_size(
    size: tuple[int, int], options: argparse.Namespace, finder: Finder
) -> dict[str, float]:
    """Returns the time from a JPEG of one size to the palm's square and quality, in ms."""
    times: list[float] = []
    reader = PalmReader(finder, limits=ImageLimits(), mode="auto")
    for number in range(options.repeats):
        image, _ = draw_hand(options.seed, number, JUDGE_HANDS)
        file = cv2.imencode(".jpg", cv2.resize(image, size))[1].tobytes()
        start = time.perf_counter()
        with suppress(PalmImageError):
            reader.read(file, SQUARE_PX)
        times.append((time.perf_counter() - start) * 1e3)
    return {"p50": float(np.median(times)), "p95": float(np.quantile(times, 0.95))}


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as tables."""
    lines = [
        f"{as_sentence(report['machine'])}; seed {report['seed']}.",
        "",
        "| | hands | gaps within 3 %, of all | of found | wrong | refused | as crops "
        "| left or right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["hands"].items():
        lines.append(
            f"| {name} | {row['hands']} | {_percent(row['close of all'])} "
            f"| {_percent(row['close of found'])} | {_percent(row['wrong'])} "
            f"| {row['refused']:.1%} | {row['taken as crops']} | {row['hand right']:.1%} |"
        )
    lines += [
        "",
        f"Quality {report['enroll from']} is needed to enroll.",
        "",
        "| other images | enrolled as regions of interest | as hands | refused |",
        "|---|---|---|---|",
    ]
    for name, row in (report["crops"] | report["nothing"]).items():
        lines.append(f"| {name} | " + " | ".join(str(row.get(k, 0)) for k in TAKEN_FOR) + " |")
    lines += [
        "",
        "| crops in all directions | told | not tried | warned wrongly | other directions tried |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["directions"].items():
        shares = " | ".join(f"{row[key]:.1%}" for key in ("right", "missed", "warned"))
        lines.append(f"| {name} | {shares} | {row['others']:.2f} |")
    lines += ["", "| ms | p50 | p95 |", "|---|---|---|"]
    timed = {"all": {k[3:]: v for k, v in report["hands"]["all"].items() if k[:2] == "ms"}}
    for name, row in (timed | report["ms"]).items():
        lines.append(f"| {name} | {row['p50']:.1f} | {row['p95']:.1f} |")
    return "\n".join(lines)


def _percent(rate: list[float]) -> str:
    return f"{rate[0]:.1%} ({rate[1]:.1%} to {rate[2]:.1%})"


if __name__ == "__main__":
    main()
