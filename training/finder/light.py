"""Changes the grey levels of a training view more than any camera does."""

import cv2
import numpy as np

from training.finder.textures import draw_texture
from training.fit.augmentation import enlarge, grain
from training.synthetic.canvas import Float32
from training.synthetic.pairs import Pixels

OTHER_BACKGROUND = 0.35
"""Probability that a texture replaces the background of a hand."""


LIKE_SKIN = 0.5
"""Probability that such a texture is about as bright as the hand, whose outline is hard to see."""


def change_background(view: Pixels, mask: Pixels, rng: np.random.Generator) -> Pixels:
    """Replaces the background of a hand by a texture, or inverts it, or leaves it as it is.

    Args:
        view: uint8 [S, S].
        mask: uint8 [S, S], 255 on the hand.
        rng: source of the change.
    """
    chance = rng.random()
    if chance < OTHER_BACKGROUND:
        other = 255 * draw_texture(rng, view.shape[0])
        if rng.random() < LIKE_SKIN and (mask > 127).any():
            other += np.float32(view[mask > 127].mean() + rng.normal(0, 12)) - other.mean()
        other = np.clip(other, 0, 255)
    elif chance < OTHER_BACKGROUND + 0.08:
        other = 255 - view.astype(np.float32)
    else:
        return view
    cover = cv2.GaussianBlur(mask, (0, 0), 0.6) * np.float32(1 / 255)
    return (other + cover * (view - other)).astype(np.uint8)


def relight(view: Pixels, rng: np.random.Generator) -> Pixels:
    """Changes light, contrast, focus, resolution, noise and compression of a view uint8 [S, S]."""
    side = view.shape[0]
    x: Float32 = view * np.float32(1 / 255)
    if rng.random() < 0.6:
        x = np.asarray(cv2.pow(x, float(np.exp(rng.normal(0, 0.35)))), np.float32)
    if rng.random() < 0.5:
        x = x * enlarge(rng.normal(1, 0.18, (3, 3)).astype(np.float32), side)
    if rng.random() < 0.3:
        x = x * _vignette(rng, side)
    x = _soften(x, rng)
    if rng.random() < 0.25:
        _cover(x, rng)
    lowest = rng.uniform(0, 0.3) if rng.random() < 0.3 else 0.0
    x = lowest + (1 - lowest) * np.float32(rng.uniform(0.3, 1.3)) * x
    x += np.float32(rng.uniform(0, 0.05) if rng.random() < 0.7 else 0) * grain(side, rng)
    levels = np.clip(255 * x, 0, 255).astype(np.uint8)
    return _compress(levels, rng) if rng.random() < 0.35 else levels


def _vignette(rng: np.random.Generator, side: int) -> Float32:
    """Returns gains that fall from one point to the corners."""
    line = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = rng.uniform(-0.4, 0.4, 2).astype(np.float32)
    radius = (line - x) ** 2 + (line[:, None] - y) ** 2
    return np.exp(-np.float32(rng.uniform(0.1, 1.2)) * radius)


def _soften(x: Float32, rng: np.random.Generator) -> Float32:
    """Blurs in one of three ways, or not: out of focus, moving, or few pixels."""
    side, kind = x.shape[0], rng.random()
    if kind < 0.25:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.8)), np.float32)
    if kind < 0.4:
        reach, angle = rng.uniform(1, 3.5), rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        step = reach * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint((4 + np.stack([-step, step])) * 16).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
        return np.asarray(cv2.filter2D(x, -1, kernel / kernel.sum()), np.float32)
    if kind < 0.55:
        few = max(round(side * rng.uniform(0.4, 0.9)), 1)
        small = cv2.resize(x, (few, few), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (side, side)), np.float32)
    return x


def _cover(x: Float32, rng: np.random.Generator) -> None:
    """Paints a rectangle of up to a fifth of each side, in place."""
    side = x.shape[0]
    height, width = rng.integers(1, side // 5 + 1, 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    x[top : top + height, left : left + width] = rng.uniform(0, 1)


def _compress(levels: Pixels, rng: np.random.Generator) -> Pixels:
    chosen = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))]
    _, jpeg = cv2.imencode(".jpg", levels, chosen)
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
