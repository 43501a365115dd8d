"""Places around three finger gaps where the image is probed: along fingers, gaps, in the square."""

import numpy as np
from numpy.typing import NDArray

from app.palm.square import BELOW, SIDE

Float = NDArray[np.float64]

_HEIGHTS = np.array([0.15, 0.28, 0.41, 0.54])  # along the fingers, in distances of the outer gaps
_GRID = np.stack(np.meshgrid(np.linspace(0.04, 0.96, 10), np.linspace(0.04, 0.96, 10)), -1)


def finger_axes(gaps: Float, tilt: Float, chord: Float) -> tuple[Float, Float]:
    """Returns the axes' tilts [T, 6] and roots [T, 6, 2]: beside the hand, four fingers, beside."""
    steps = np.diff(tilt, axis=1) / 2
    axes = np.stack(
        [
            tilt[:, 0] - 2 * steps[:, 0],
            tilt[:, 0] - steps[:, 0],
            tilt[:, 0] + steps[:, 0],
            tilt[:, 1] + steps[:, 1],
            tilt[:, 2] + steps[:, 1],
            tilt[:, 2] + 2 * steps[:, 1],
        ],
        axis=1,
    )
    offsets = (-0.62, -0.24, None, None, 0.22, 0.58)  # in distances of the outer gaps
    roots = [
        gaps[:, 0] + offsets[0] * chord,
        gaps[:, 0] + offsets[1] * chord,
        (gaps[:, 0] + gaps[:, 1]) / 2,
        (gaps[:, 1] + gaps[:, 2]) / 2,
        gaps[:, 2] + offsets[4] * chord,
        gaps[:, 2] + offsets[5] * chord,
    ]
    return axes, np.stack(roots, axis=1)


def rays(roots: Float, tilts: Float, right: Float, up: Float, distance: Float) -> Float:
    """Returns places on rays, [T, K, 4, 2], from roots [T, K, 2] at tilts [T, K] from `up`."""
    step = np.sin(tilts)[..., None] * right[:, None] + np.cos(tilts)[..., None] * up[:, None]
    reach = _HEIGHTS * distance[:, None]
    return roots[:, :, None] + reach[:, None, :, None] * step[:, :, None]


def square_places(gaps: Float, right: Float, up: Float, distance: Float) -> Float:
    """Returns a grid of places in the square of each triple, [T, 100, 2]."""
    middle = (gaps[:, 0] + gaps[:, 2]) / 2
    grid = _GRID.reshape(-1, 2) * SIDE + (-SIDE / 2, BELOW)
    x, y = grid[:, 0][None] * distance[:, None], grid[:, 1][None] * distance[:, None]
    return middle[:, None] + x[..., None] * right[:, None] - y[..., None] * up[:, None]


def sample(image: NDArray[np.uint8], places: Float, outside: float = 0.5) -> Float:
    """Returns the pixels nearest to places [..., 2]; `outside` for those outside the image."""
    height, width = image.shape
    x, y = np.rint(places[..., 0]).astype(int), np.rint(places[..., 1]).astype(int)
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    values = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.where(within, values, outside)
