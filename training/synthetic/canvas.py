"""The canvas that a palm is drawn on: its scale, and smooth noise."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Layers = NDArray[np.uint8]

PX_PER_MM = 2.0
"""A region of interest of 64 mm is 128 px wide, about as in palm databases."""

CANVAS_PX = 176
"""Side of the canvas in px, 88 mm."""

IMAGE_PX = 128
"""Side of an image in px. At zoom 1 it shows the middle of the canvas."""


def smooth_noise(rng: np.random.Generator, sigma_px: float) -> Float32:
    """Draws smooth Gaussian noise.

    Args:
        rng: source of the noise.
        sigma_px: width of the noise in px.

    Returns:
        float32 [CANVAS_PX, CANVAS_PX], mean about 0, standard deviation about 1.
    """
    shrink = max(sigma_px / 2, 1.0)
    side = int(np.ceil(CANVAS_PX / shrink)) + 4
    small = rng.standard_normal((side, side), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink)
    small = (small - small.mean()) / small.std()
    enlarged = cv2.resize(small, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.float32)


def to_full_range(layer: NDArray[Any]) -> Layers:
    """Scales a layer so that its 99th percentile is 255, and returns it as uint8."""
    peak = max(float(np.percentile(layer[::2, ::2], 99)), 1e-3)
    scaled = cv2.convertScaleAbs(np.asarray(layer, np.float32), alpha=255 / peak)
    return np.asarray(scaled, np.uint8)
