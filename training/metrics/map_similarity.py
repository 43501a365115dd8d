"""Similarity of vein maps, in NumPy."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

MATCH_SHIFT = 2
"""Largest shift in places when maps are compared; a training allows one more."""

Float32 = NDArray[np.float32]


def map_similarities(probes: Float32, templates: Float32, shift: int = MATCH_SHIFT) -> Float32:
    """Returns the similarity of every probe to every template at its best shift.

    The central window of a probe is compared with the windows of a template at all shifts; see
    `training.nets.losses.shifted_similarities`.

    Args:
        probes: float32 [P, S, S, C].
        templates: float32 [T, S, S, C].
        shift: largest shift r in places; less for a map with fewer than 2r + 1 places on a side.

    Returns:
        float32 [P, T] in [-1, 1], the largest cosine.
    """
    side = probes.shape[1]
    shift = min(shift, (side - 1) // 2)
    window = side - 2 * shift
    central = _windows(probes, shift, shift, window)
    best = np.full((len(probes), len(templates)), -1, np.float32)
    for row, column in product(range(2 * shift + 1), repeat=2):
        np.maximum(best, central @ _windows(templates, row, column, window).T, out=best)
    return best


def _windows(maps: Float32, row: int, column: int, window: int) -> Float32:
    """Returns a window of every map as a row of unit length; a window without values stays 0."""
    rows = maps[:, row : row + window, column : column + window].reshape(len(maps), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
