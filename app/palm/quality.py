"""How good a picture is to recognise a palm by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.palm.decode import UnsuitableImage

MIN_CONTRAST = 0.004
"""Below one grey level of 255 there is nothing in the picture but its own rounding."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one prepared picture, each from 0 to 1, x being grey of range 0 to 1.

    Attributes:
        sharpness: min(1, 10 mean |gradient|), the gradient by central differences.
        contrast: min(1, 4 std(x)).
        brightness: mean(x).
    """

    sharpness: float
    contrast: float
    brightness: float


def assess(image: NDArray[np.uint8]) -> Quality:
    """Measures a prepared picture, uint8 [H, W, 3].

    Raises:
        UnsuitableImage: if the picture is featureless, as of a covered or blinded camera.
    """
    grey = image.mean(axis=2) / 255
    rows, columns = np.gradient(grey)
    quality = Quality(
        sharpness=min(1.0, 10 * float(np.hypot(rows, columns).mean())),
        contrast=min(1.0, 4 * float(grey.std())),
        brightness=float(grey.mean()),
    )
    if quality.contrast < 4 * MIN_CONTRAST:
        raise UnsuitableImage(
            f"the image shows nothing: contrast {quality.contrast:.4f}, brightness "
            f"{quality.brightness:.2f}; photograph the palm with the near-infrared light on"
        )
    return quality
