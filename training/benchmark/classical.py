"""A matcher that was not trained: band-passed images, correlated over shifts and turns.

What a net must beat. The idea is that of band-limited phase-only correlation (K. Ito et al., "A
palmprint recognition algorithm using phase-only correlation", IEICE Trans. Fundamentals E91-A,
2008): keep the band of the vessels, make its strength even, and take the highest correlation over
all displacements. Here the displacements are tried one by one as matrix products, which compares
many pairs at once; J. P. Lewis, "Fast normalized cross-correlation" (1995), has the measure.
"""

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.palms import Palms, Pixels

FILTER_PX = 64
"""Side at which images are filtered: a palm's vessels are 2 to 5 of its pixels wide."""

BAND_PX = (1.2, 4.0)
"""Standard deviations of the two Gaussians whose difference is the band."""

CONTRAST_PX = 8.0
"""Standard deviation of the neighbourhood whose contrast is made even."""

CLIP = 2.0
"""Creases and specular spots count no more than twice a vessel."""

MATCH_PX = 32
"""Side at which images are compared: the band is coarse enough, and a shift costs a quarter."""

SHIFT_PX = 3
"""Of `MATCH_PX`: the 10 % by which a palm moves in its region of interest."""

TURNS_DEG = (-4, 0, 4)

BLOCK = 1024
"""Template images at a time."""

Float32 = NDArray[np.float32]


def filter_images(palms: Palms) -> Float32:
    """Band-passed images of even contrast, float32 [N, MATCH_PX, MATCH_PX] within ±CLIP."""
    filtered = np.empty((len(palms), MATCH_PX, MATCH_PX), np.float32)
    for start in range(0, len(palms), BLOCK):
        images = palms.images(slice(start, start + BLOCK))
        filtered[start : start + BLOCK] = [_band_pass(image) for image in images]
    return filtered


def compare(
    probes: Float32, templates: Float32, labels: NDArray[np.int32], identities: int
) -> Float32:
    """Highest correlation of every probe with any template image of every identity.

    Args:
        probes: [P, MATCH_PX, MATCH_PX], filtered.
        templates: [T, MATCH_PX, MATCH_PX], filtered.
        labels: int32 [T], whose template.
        identities: I; each has a template.

    Returns:
        float32 [P, I] in [-1, 1]: normalised correlation of the probe's centre with the template
        at the best of (2 SHIFT_PX + 1)² shifts and three turns.
    """
    centre = slice(SHIFT_PX, MATCH_PX - SHIFT_PX)
    turned = [_unit_rows(_turn(probes, angle)[:, centre, centre]) for angle in TURNS_DEG]
    best = np.full((identities, len(probes)), -1, np.float32)
    blocks = range(0, len(templates), BLOCK)
    for start in tqdm(blocks, "classical"):
        found = _correlate(templates[start : start + BLOCK], turned)
        for label, row in zip(labels[start : start + BLOCK], found, strict=True):
            np.maximum(best[label], row, out=best[label])
    return np.ascontiguousarray(best.T)


def _band_pass(image: Pixels) -> Float32:
    small = cv2.resize(image, (FILTER_PX, FILTER_PX), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in BAND_PX)
    band = fine - coarse
    # 0.05 grey levels squared: an even image stays even, and its rounding is not blown up.
    contrast = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), CONTRAST_PX) + 0.05)
    even = np.clip(band / contrast, -CLIP, CLIP)
    return cv2.resize(even, (MATCH_PX, MATCH_PX), interpolation=cv2.INTER_AREA)


def _correlate(templates: Float32, turned: list[Float32]) -> Float32:
    """Best correlation [T, P] over shifts of the templates and turns of the probes."""
    side = MATCH_PX - 2 * SHIFT_PX
    best = np.full((len(templates), len(turned[0])), -1, np.float32)
    for down, right in product(range(2 * SHIFT_PX + 1), repeat=2):
        windows = _unit_rows(templates[:, down : down + side, right : right + side])
        for probes in turned:
            np.maximum(best, windows @ probes.T, out=best)
    return best


def _turn(images: Float32, degrees: float) -> Float32:
    middle = (MATCH_PX - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    return np.stack(
        [
            cv2.warpAffine(image, turn, (MATCH_PX, MATCH_PX), borderMode=cv2.BORDER_REFLECT)
            for image in images
        ]
    )


def _unit_rows(images: Float32) -> Float32:
    """Images [N, H, W] as rows [N, H W] of mean 0 and length 1; an even one is all 0."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
