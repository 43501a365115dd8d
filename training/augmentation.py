"""Augmentation of training pictures: what a hand and a sensor may change, and nothing else.

No flips: a mirrored left hand is a right hand, another palm.
"""

import cv2
import numpy as np
from numpy.typing import NDArray


def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Moves, bends, relights, blurs and grains one picture.

    Args:
        image: uint8 [H, W], grey.
        rng: source of the changes.

    Returns:
        uint8 [H, W].
    """
    moved = _move(image, rng)
    if rng.random() < 0.5:
        moved = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, 1.6))
    lit = moved.astype(np.float32) * _relight(image.shape[0], rng)
    lit += rng.standard_normal(lit.shape, np.float32) * rng.uniform(0, 5)
    if rng.random() < 0.2:
        _cover(lit, rng)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _move(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turns by about 4 degrees, scales by 5 %, shifts by 4 %, bends by up to 1 %."""
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D(
        (side / 2, side / 2), rng.normal(0, 4), float(np.exp(rng.normal(0, 0.05)))
    )
    shift = np.clip(rng.normal(0, 0.04, 2), -0.09, 0.09)
    bend = rng.normal(0, 0.01 * rng.random() * side, (2, 4, 4)).astype(np.float32)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x = turn[0, 0] * columns + turn[0, 1] * rows + turn[0, 2] + shift[0] * side
    y = turn[1, 0] * columns + turn[1, 1] * rows + turn[1, 2] + shift[1] * side
    x += cv2.resize(bend[0], (side, side), interpolation=cv2.INTER_CUBIC)
    y += cv2.resize(bend[1], (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(
        cv2.remap(
            image,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        ),
        np.uint8,
    )


def _relight(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A slow change of light, [side, side], around a change of gain."""
    gains = rng.uniform(0.7, 1.3) + rng.normal(0, 0.12, (3, 3))
    return cv2.resize(gains.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)


def _cover(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Hides one patch of up to a third of each side, in place: no single vein may decide."""
    side = image.shape[0]
    width, height = rng.integers(side // 10, side // 3, 2)
    x, y = rng.integers(0, side - width), rng.integers(0, side - height)
    image[y : y + height, x : x + width] = image.mean()
