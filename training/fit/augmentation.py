"""Augments training images: changes pose, shape, light, focus and noise, and covers patches.

Images are not flipped: a mirrored left hand looks like a right hand, which is another identity.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray


def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Moves, bends, relights and blurs an image, adds noise, and sometimes covers a patch.

    Args:
        image: uint8 [H, W], grey.
        rng: source of the changes.

    Returns:
        uint8 [H, W].
    """
    moved = _move(image, rng)
    if rng.random() < 0.5:
        moved = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, 1.6))
    lit = moved * _relight(image.shape[0], rng)
    lit += rng.uniform(0, 5) * grain(image.shape[0], rng)
    if rng.random() < 0.2:
        _cover(lit, rng)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def degrade(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrades a drawn image more than a camera does, so that nets use many details of a palm.

    Args:
        image: uint8 [H, W], grey.
        rng: source of the changes.

    Returns:
        uint8 [H, W]. Each change has a probability of 0.2 or 0.3: a patch covered with grey or with
        another part of the palm, a blur, a lower resolution, coarse noise.
    """
    side = image.shape[0]
    changed = image.astype(np.float32)
    if rng.random() < 0.3:
        _cover(changed, rng, by=np.roll(changed, side // 2, (0, 1)) if rng.random() < 0.5 else None)
    if rng.random() < 0.3:
        changed = cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.2, 2), sigmaY=rng.uniform(0.2, 2))
    if rng.random() < 0.2:
        small = cv2.resize(changed, None, fx=(scale := rng.uniform(0.45, 0.9)), fy=scale)
        changed = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        coarse = cv2.GaussianBlur(grain(side, rng), (0, 0), width := rng.uniform(0.4, 1.5))
        changed += rng.uniform(0, 7) * width * coarse  # blurred noise is weaker by about its width
    return np.clip(changed, 0, 255).astype(np.uint8)


def _move(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turns by about 4 degrees, scales by 5 %, shifts by 4 % and bends by up to 1 %."""
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D(
        (side / 2, side / 2), rng.normal(0, 4), float(np.exp(rng.normal(0, 0.05)))
    ).astype(np.float32)
    shift = np.clip(rng.normal(0, 0.04, 2), -0.09, 0.09) * side
    bend = rng.normal(0, 0.01 * rng.random() * side, (2, 4, 4)).astype(np.float32)
    line = np.arange(side, dtype=np.float32)
    x, y = (
        enlarge(bend[axis], side)
        + turn[axis, 0] * line
        + (turn[axis, 1] * line + (turn[axis, 2] + np.float32(shift[axis])))[:, None]
        for axis in (0, 1)
    )
    moved = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _relight(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns a smooth field of gains, float32 [side, side]: exposure and uneven light."""
    gains = rng.uniform(0.7, 1.3) + rng.normal(0, 0.12, (3, 3))
    return enlarge(gains.astype(np.float32), side)


def enlarge(grid: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Returns a grid [k, k] enlarged to [side, side] by cubic interpolation.

    Faster than `cv2.resize`.
    """
    spread = _interpolation(grid.shape[0], side)
    return np.asarray(spread @ grid @ spread.T, np.float32)


@lru_cache
def _interpolation(count: int, side: int) -> NDArray[np.float32]:
    """Returns the matrix [side, count] by which `cv2.resize` enlarges a column."""
    units = np.eye(count, dtype=np.float32)
    columns = [cv2.resize(u[:, None], (1, side), interpolation=cv2.INTER_CUBIC) for u in units]
    return np.stack([np.asarray(column, np.float32)[:, 0] for column in columns], axis=1)


def grain(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns white noise of standard deviation 1, float32 [side, side].

    For speed, the noise is a window of a larger field that is drawn once.
    """
    top, left = rng.integers(0, side, 2)
    return _noise_field(2 * side)[top : top + side, left : left + side]


@lru_cache
def _noise_field(side: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((side, side), np.float32)


def _cover(
    image: NDArray[np.float32], rng: np.random.Generator, by: NDArray[np.float32] | None = None
) -> None:
    """Replaces one patch of up to a third of each side, in place, by grey or by the image `by`."""
    side = image.shape[0]
    width, height = rng.integers(side // 10, side // 3, 2)
    x, y = rng.integers(0, side - width), rng.integers(0, side - height)
    patch = np.s_[y : y + height, x : x + width]
    image[patch] = image.mean() if by is None else by[patch]
