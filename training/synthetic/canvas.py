"""The sheet that a palm is drawn on, in three dimensions and in layers."""

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Layers = NDArray[np.uint8]

PX_PER_MM = 2.0
"""A region of interest of 64 mm is 128 px, about what palm databases cut out."""

CANVAS_PX = 176
"""Side of the canvas, 88 mm; the image shows its middle 128 px."""


def smooth_noise(rng: np.random.Generator, sigma_px: float) -> Float32:
    """Gaussian noise of one width, zero mean, unit standard deviation, made small and enlarged."""
    shrink = max(sigma_px / 2, 1.0)
    side = int(np.ceil(CANVAS_PX / shrink)) + 4
    small = rng.standard_normal((side, side), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink)
    small = (small - small.mean()) / small.std()
    return cv2.resize(small, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)


def to_full_range(layer: NDArray[np.generic]) -> Layers:
    """Scales a layer so that its darkest hundredth reaches 255."""
    peak = max(float(np.percentile(layer[::2, ::2], 99)), 1e-3)
    return cv2.convertScaleAbs(np.asarray(layer, np.float32), alpha=255 / peak)
