"""Sensors that photograph drawn hands: two families, whose defects differ."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthetic.canvas import Float32

Sensor = Callable[[np.random.Generator, Float32], NDArray[np.uint8]]
"""Turns an image float32 [H, W] or [H, W, 3], 0 to 1, into uint8 of the same shape."""


def expose_tuning(rng: np.random.Generator, image: Float32) -> NDArray[np.uint8]:
    """Adds defocus, gamma, white noise and JPEG."""
    width_px = rng.uniform(0.3, 2.0) * max(image.shape[:2]) / 768
    soft = cv2.GaussianBlur(image, (0, 0), width_px)
    bent = np.asarray(cv2.pow(np.clip(soft, 0, 1), rng.uniform(0.7, 1.4)), np.float32)
    noise = np.float32(rng.uniform(0.002, 0.03)) * _grain(rng, image.shape)
    return _compress(rng, bent + noise, (50, 95))


def expose_judge(rng: np.random.Generator, image: Float32) -> NDArray[np.uint8]:
    """Adds vignetting, motion blur, few pixels, overexposure, noise of rows and signal, JPEG."""
    height, width = image.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    corner = 1 - rng.uniform(0, 0.35) * (x * x + y * y) / 2
    image = image * _like(corner.astype(np.float32), image) * np.float32(rng.uniform(0.7, 1.25))
    reach = max(round(rng.uniform(0, 4) * max(height, width) / 768), 1)
    kernel = np.eye(reach, dtype=np.float32) / reach
    kernel = kernel if rng.random() < 0.5 else kernel[::-1].copy()
    image = np.asarray(cv2.filter2D(image, -1, kernel), np.float32)
    if rng.random() < 0.3:
        few = rng.uniform(0.4, 0.8)
        small = cv2.resize(image, None, fx=few, fy=few, interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        image = np.asarray(enlarged, np.float32)
    clipped = np.clip(image, 0, 1)
    signal = np.sqrt(clipped) + np.float32(0.3)
    noise = np.float32(rng.uniform(0.003, 0.025)) * signal * _grain(rng, image.shape)
    rows = rng.standard_normal((height, 1), np.float32) * np.float32(rng.uniform(0, 0.015))
    return _compress(rng, clipped + noise + _like(rows, image), (25, 60))


def _like(field: Float32, image: Float32) -> Float32:
    """Returns a field [H, W] in a shape that multiplies with the image."""
    return field[..., None] if image.ndim == 3 else field


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Draws white noise of deviation 1, the same rows again after a fifth of the image."""
    part = rng.standard_normal((shape[0] // 5 + 1, *shape[1:]), np.float32)
    return np.concatenate([part[:, ::-1], part, -part, part[::-1], -part[:, ::-1]])[: shape[0]]


def _compress(
    rng: np.random.Generator, image: NDArray[np.floating], quality: tuple[int, int]
) -> NDArray[np.uint8]:
    """Rounds and compresses as JPEG; the order of the channels does not matter to it."""
    levels = np.clip(image * 255, 0, 255).astype(np.uint8)
    chosen = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*quality))]
    _, jpeg = cv2.imencode(".jpg", levels, chosen)
    flag = cv2.IMREAD_COLOR if image.ndim == 3 else cv2.IMREAD_GRAYSCALE
    return np.asarray(cv2.imdecode(jpeg, flag), np.uint8)
