"""An untrained matcher: correlates band-passed images over shifts and rotations.

It is the baseline that a net must beat. It follows band-limited phase-only correlation (K. Ito et
al., "A palmprint recognition algorithm using phase-only correlation", IEICE Trans. Fundamentals
E91-A, 2008): keep the spatial frequencies of the vessels, normalise their contrast, and take the
highest correlation over all displacements. Here every displacement is a matrix product, which
compares many pairs at once. The measure is from J. P. Lewis, "Fast normalized cross-correlation"
(1995).
"""

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.palms import Palms, Pixels

FILTER_PX = 64
"""Side at which images are filtered: vessels are then 2 to 5 pixels wide."""

BAND_PX = (1.2, 4.0)
"""Standard deviations of the two Gaussians whose difference is the band-pass filter."""

CONTRAST_PX = 8.0
"""Standard deviation of the Gaussian neighbourhood in which contrast is normalised."""

CLIP = 2.0
"""Limit of normalised contrast: creases and specular spots count at most twice a vessel."""

MATCH_PX = 32
"""Side at which images are compared: enough for the band, with a quarter of the pixels."""

SHIFT_PX = 3
"""Largest shift, in pixels of `MATCH_PX`: a palm moves by 10 % in its region of interest."""

ROTATIONS_DEG = (-4, 0, 4)

BLOCK = 1024
"""Template images compared at a time."""

Float32 = NDArray[np.float32]


def filter_images(palms: Palms) -> Float32:
    """Returns the band-passed images, float32 [N, MATCH_PX, MATCH_PX] within ±CLIP."""
    filtered = np.empty((len(palms), MATCH_PX, MATCH_PX), np.float32)
    for start in tqdm(range(0, len(palms), BLOCK), "classical: filtering", delay=1):
        images = palms.images(slice(start, start + BLOCK))
        filtered[start : start + BLOCK] = [_band_pass(image) for image in images]
    return filtered


def correlate(
    probes: Float32,
    templates: Float32,
    labels: NDArray[np.int32],
    identities: int,
    *,
    block: int = BLOCK,
) -> Float32:
    """Returns the highest correlation of every probe with any template image of every identity.

    Args:
        probes: float32 [P, MATCH_PX, MATCH_PX], filtered.
        templates: float32 [T, MATCH_PX, MATCH_PX], filtered.
        labels: int32 [T], the identity of each template.
        identities: I, the number of identities; each has a template.
        block: template images compared at a time; it changes only the memory needed.

    Returns:
        float32 [P, I] in [-1, 1]: normalised correlation of the probe's centre with the template,
        at the best of (2 SHIFT_PX + 1)² shifts and three rotations.
    """
    centre = slice(SHIFT_PX, MATCH_PX - SHIFT_PX)
    rotated = [_unit_rows(_rotate(probes, angle)[:, centre, centre]) for angle in ROTATIONS_DEG]
    best = np.full((identities, len(probes)), -1, np.float32)
    for start in tqdm(range(0, len(templates), block), "classical: comparing"):
        found = _best_correlation(templates[start : start + block], rotated)
        for label, row in zip(labels[start : start + block], found, strict=True):
            np.maximum(best[label], row, out=best[label])
    return np.ascontiguousarray(best.T)


def _band_pass(image: Pixels) -> Float32:
    small = cv2.resize(image, (FILTER_PX, FILTER_PX), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in BAND_PX)
    band = fine - coarse
    # 0.05, in squared grey levels, keeps rounding noise of a uniform image small.
    contrast = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), CONTRAST_PX) + 0.05)
    even = np.clip(band / contrast, -CLIP, CLIP)
    return np.asarray(
        cv2.resize(even, (MATCH_PX, MATCH_PX), interpolation=cv2.INTER_AREA), np.float32
    )


def _best_correlation(templates: Float32, rotated: list[Float32]) -> Float32:
    """Returns the best correlation [T, P] over shifts of templates and rotations of probes."""
    side = MATCH_PX - 2 * SHIFT_PX
    best = np.full((len(templates), len(rotated[0])), -1, np.float32)
    for down, right in product(range(2 * SHIFT_PX + 1), repeat=2):
        windows = _unit_rows(templates[:, down : down + side, right : right + side])
        for probes in rotated:
            np.maximum(best, windows @ probes.T, out=best)
    return best


def _rotate(images: Float32, degrees: float) -> Float32:
    middle = (MATCH_PX - 1) / 2
    rotation = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    turned = np.empty_like(images)
    for image, target in zip(images, turned, strict=True):
        cv2.warpAffine(image, rotation, target.shape, target, borderMode=cv2.BORDER_REFLECT)
    return turned


def _unit_rows(images: Float32) -> Float32:
    """Returns images [N, H, W] as rows [N, H W] of mean 0 and length 1; uniform images as 0."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
