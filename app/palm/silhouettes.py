"""Hypotheses of where the hand is: masks of an image by several thresholds."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]

_LEAST_AREA, _MOST_AREA = 0.02, 0.92
"""Least and greatest share of the image that a hand with its arm covers."""


def silhouettes(image: NDArray[np.uint8]) -> Iterator[Mask]:
    """Yields masks of what may be the hand, the likeliest first.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3], a few hundred px wide.

    Yields:
        uint8 [H, W], 1 on the hand.
    """
    grey = image
    if image.ndim == 3:
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    for found in _thresholds(image, grey):
        mask = np.asarray(cv2.medianBlur(found, 3), np.uint8)
        share = cv2.countNonZero(mask) / mask.size
        if not _LEAST_AREA < share < _MOST_AREA:
            continue
        yield mask


def _thresholds(image: NDArray[np.uint8], grey: NDArray[np.uint8]) -> Iterator[Mask]:
    """Yields masks 0 or 1, by brightness, by colour, and by brightness relative to the light."""
    soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.uint8)
    difference = _from_background(image)
    _, mask = cv2.threshold(difference, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    yield np.asarray(mask, np.uint8)
    yield from _both_sides(soft)
    if image.ndim == 3:
        for channel in _chroma(image):
            yield from _both_sides(channel)
    yield from _bands(soft)
    yield from _both_sides(_flattened(soft))
    yield from _alike(image, soft)


def _both_sides(channel: NDArray[np.uint8]) -> Iterator[Mask]:
    """Yields what is brighter, and what is darker, than Otsu's threshold."""
    _, bright = cv2.threshold(channel, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    yield np.asarray(bright, np.uint8)
    yield np.asarray(1 - bright, np.uint8)


def _chroma(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns how red, and how blue, each pixel is for its brightness."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.float32) + 6
    total = 255 / soft.sum(axis=2)
    return _full_range(soft[..., 0] * total), _full_range(soft[..., 2] * total)


def _full_range(channel: NDArray[np.floating]) -> NDArray[np.uint8]:
    low, high = float(channel.min()), float(channel.max())
    return np.rint((channel - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)


def _flattened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns brightness relative to that of the wide surroundings."""
    small = cv2.resize(grey, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(small, (0, 0), 10)
    light = cv2.resize(wide, grey.shape[::-1]).astype(np.float32) + 8
    return np.clip(grey * 110.0 / light, 0, 255).astype(np.uint8)


def _bands(grey: NDArray[np.uint8]) -> Iterator[Mask]:
    """Yields the three classes of brightness by Otsu's method: bright, middle, dark; and pairs."""
    low, high = _two_thresholds(grey)
    yield np.asarray((grey > high).astype(np.uint8))
    yield np.asarray(((grey > low) & (grey <= high)).astype(np.uint8))
    yield np.asarray((grey > low).astype(np.uint8))
    yield np.asarray((grey <= low).astype(np.uint8))
    yield np.asarray((grey <= high).astype(np.uint8))


def _two_thresholds(grey: NDArray[np.uint8]) -> tuple[int, int]:
    """Returns the two thresholds with the least variance inside the three classes.

    P.-S. Liao, T.-S. Chen and P.-C. Chung, J. Inf. Sci. Eng. 17 (2001).
    """
    histogram = np.bincount((grey >> 2).ravel(), minlength=64).astype(np.float64)
    count = np.concatenate([[0], np.cumsum(histogram)])
    total = np.concatenate([[0], np.cumsum(histogram * np.arange(64))])
    i, j = np.triu_indices(63, 1)
    i, j = i + 1, j + 1
    between = sum(
        (total[b] - total[a]) ** 2 / np.maximum(count[b] - count[a], 1e-9)
        for a, b in ((0 * i, i), (i, j), (j, 0 * j + 64))
    )
    best = int(np.asarray(between).argmax())
    return int(4 * i[best] - 1), int(4 * j[best] - 1)


def _from_background(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns how much each pixel differs from the background, which is smooth at the border.

    A quadratic surface is fitted to the image's border, robustly, since the arm crosses it.
    """
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    channels = [soft] if image.ndim == 2 else list(cv2.split(soft))
    height, width = channels[0].shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    ring = np.ones((height, width), bool)
    ring[5:-5, 5:-5] = False
    rows = terms[ring][::7].astype(np.float64)
    total = np.zeros((height, width), np.float32)
    for channel in channels:
        levels = channel[ring][::7].astype(np.float64)
        surface = terms @ _fit_robustly(rows, levels).astype(np.float32)
        total += np.abs(channel - surface)
    return np.minimum(total / len(channels) * 2, 255).astype(np.uint8)


def _fit_robustly(rows: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the coefficients of a surface, by least squares with Cauchy's weights."""
    peak = np.bincount(levels.astype(int) // 8, minlength=32)
    start = 8 * (np.convolve(peak, [1, 2, 1], "same").argmax() + 0.5)
    rest, fit = levels - start, np.zeros(rows.shape[1])
    for scale in (24, 16, 10, 8, 6):
        weight = 1 / (1 + (rest / scale) ** 2)
        weighted = rows * weight[:, None]
        fit = np.linalg.solve(
            weighted.T @ rows + 1e-2 * len(rows) * np.diag([0, 0.01, 0.01, 0.1, 0.1, 0.1]),
            weighted.T @ levels,
        )
        rest = levels - rows @ fit
    return np.asarray(fit, np.float64)


def _alike(image: NDArray[np.uint8], soft: NDArray[np.uint8]) -> Iterator[Mask]:
    """Yields connected regions that are about as bright, and of the colour, of calm places.

    The places are the centres of the largest circles without an edge: a palm is one.
    """
    kernel = np.ones((3, 3), np.uint8)
    slope = cv2.morphologyEx(cv2.GaussianBlur(soft, (0, 0), 2.0), cv2.MORPH_GRADIENT, kernel)
    level = max(float(np.quantile(slope[::2, ::2], 0.75)), 4.0)
    distance = cv2.distanceTransform((slope < level).astype(np.uint8), cv2.DIST_L2, 3)
    smooth = cv2.medianBlur(image, 5)
    for _ in range(3):
        _, radius, _, (x, y) = cv2.minMaxLoc(distance)
        if not 6 <= radius <= max(soft.shape):  # without any edge it is infinite
            return
        near = image[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
        seed = np.median(near.reshape(-1, *image.shape[2:]), axis=0)
        for reach in (0.13, 0.24):
            low = np.atleast_1d(seed * (1 - reach) - 3)
            high = np.atleast_1d(seed * (1 + reach) + 3)
            alike = cv2.inRange(smooth, low, high)
            _, labels = cv2.connectedComponents(alike, connectivity=4)
            if labels[y, x]:
                yield np.asarray(labels == labels[y, x], np.uint8)
        distance[alike > 0] = 0
        cv2.circle(distance, (x, y), int(radius), 0, -1)
