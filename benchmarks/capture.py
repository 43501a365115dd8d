"""Draws good and bad images of a hand, each with what the service says about it.

python -m benchmarks.capture [--out docs/figures/capture.png]
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import fill

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from app.inspection import SQUARE_PX
from app.nets.finder_store import load_finder
from app.palm.decode import ImageLimits
from app.palm.drawing import draw_region
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.reader import PalmReader
from app.settings import Settings
from benchmarks.quality import blur, compress, darken, flatten, overexpose
from training.synthetic.hands import JUDGE_HANDS, draw_hand
from training.synthetic.palms import draw_identity
from training.synthetic.scenes import JUDGE

Pixels = NDArray[np.uint8]

SEED, NUMBER = 912, 55
PLAIN = replace(JUDGE_HANDS, scenes=(JUDGE[0],), tilt_deg=(0.0, 0.0), sizes=((768, 576),))


def far(image: Pixels) -> Pixels:
    """Shows the same scene in a sixth of the pixels."""
    size = [side // 6 for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def cut_off(image: Pixels) -> Pixels:
    """Shows only the upper part."""
    return np.ascontiguousarray(image[: image.shape[0] * 42 // 100])


EXAMPLES: dict[str, Callable[[Pixels], Pixels]] = {
    "right": lambda image: image,
    "any direction is right": lambda image: np.ascontiguousarray(np.rot90(image)),
    "blurred": lambda image: blur(image, 14),
    "too far": far,
    "palm cut off": cut_off,
    "too dark": lambda image: darken(image, 0.06),
    "overexposed": lambda image: overexpose(image, 0.1),
    "faint veins": lambda image: flatten(image, 0.05),
    "compressed": lambda image: compress(image, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws good and bad images of a hand.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--out", type=Path, default=Path("docs/figures/capture.png"))
    options = parser.parse_args()
    reader = PalmReader(load_finder(options.models), limits=ImageLimits(), mode="auto")
    image, _ = draw_hand(SEED, NUMBER, PLAIN, draw_identity(SEED, 0))
    grey = image if image.ndim == 2 else np.ascontiguousarray(image[..., 0])
    figure = Figure(figsize=(9, 8.6), layout="constrained", dpi=90)
    for place, (name, spoil) in enumerate(EXAMPLES.items(), start=1):
        drawn, verdict = describe(spoil(grey), reader)
        axes = figure.add_subplot(3, 3, place)
        axes.imshow(drawn, cmap="gray", vmin=0, vmax=255)
        axes.set_title(name)
        axes.set_xlabel(fill(verdict, 46), fontsize=7)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(options.out)


def describe(image: Pixels, reader: PalmReader) -> tuple[Pixels, str]:
    """Returns an image with what was found in it, and what the service says about it."""
    try:
        palm = reader.find(image, SQUARE_PX)
    except PalmImageError as error:
        return image, str(error).partition(";")[0]
    drawn = draw_region(image, palm.region)
    try:
        palm.quality.refuse_below(Settings.model_fields["quality_enroll"].default)
    except PoorQuality as error:
        return drawn, "; ".join(reason.partition(":")[0] for reason in error.reasons.values())
    return drawn, f"usable, quality {palm.quality.score}"


if __name__ == "__main__":
    main()
