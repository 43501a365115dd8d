"""Patterns that a sensor, or the glass in front of it, adds to all images of a session."""

import cv2
import numpy as np

from training.fit.augmentation import enlarge
from training.synthetic.canvas import IMAGE_PX, Float32


def draw_grid(rng: np.random.Generator) -> Float32:
    """Draws a sensor's fixed pattern: interlaced rows, a coarse grid, and unequal pixels."""
    rows, columns = np.arange(IMAGE_PX)[:, None], np.arange(IMAGE_PX)[None]
    period = rng.integers(6, 17)
    interlace = rng.uniform(-0.012, 0.012) * (rows % 2)
    grid = rng.uniform(-0.015, 0.015) * ((rows % period == 0) | (columns % period == 0))
    unequal = rng.uniform(0, 0.012) * rng.standard_normal((IMAGE_PX, IMAGE_PX))
    return (interlace + grid + unequal).astype(np.float32)


def draw_bands(rng: np.random.Generator) -> Float32:
    """Draws bands across the rows, as from a light that flickers: two periods of 5 to 30 px."""
    rows = np.arange(IMAGE_PX, dtype=np.float32)[:, None]
    bands = np.zeros((IMAGE_PX, 1), np.float32)
    for period in rng.uniform(5, 30, 2):
        bands += rng.uniform(0.002, 0.008) * np.sin(2 * np.pi * (rows / period + rng.random()))
    return np.repeat(bands, IMAGE_PX, axis=1).astype(np.float32)


def draw_smear(rng: np.random.Generator) -> Float32:
    """Draws up to four wiped smears on the glass, pale and with streaks, in one direction."""
    film = np.zeros((IMAGE_PX, IMAGE_PX), np.float32)
    along = rng.uniform(0, np.pi)
    step = np.array([np.cos(along), np.sin(along)])
    for _ in range(rng.integers(1, 5)):
        start = rng.uniform(0, IMAGE_PX, 2)
        ends = np.stack([start, start + rng.uniform(20, 90) * step]).astype(int).tolist()
        cv2.line(film, ends[0], ends[1], rng.uniform(0.02, 0.09), int(rng.integers(3, 14)))
    streaks = 1 + 0.4 * enlarge(rng.standard_normal((24, 24), np.float32), IMAGE_PX)
    return np.asarray(cv2.GaussianBlur(film, (0, 0), 1.5) * streaks, np.float32)
