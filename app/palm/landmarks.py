"""What the landmark net finds in a view: places of the finger gaps, skin, the kind of image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LANDMARKS = ("left gap", "middle gap", "right gap", "middle of the palm")
"""Channels of the output `landmarks`: the gaps as they lie when the fingers point up."""

KINDS = ("hand", "crop", "nothing")
"""Columns of the output `kind`: a hand with its gaps, nothing but a palm, or neither."""

DIRECTIONS = ("up", "right", "down", "left")
"""Columns of the output `direction`: where the fingers point in an image of nothing but a palm."""

OUTPUTS = ("landmarks", "skin", "kind", "left", "direction")

_REACH = 3
"""Places around a peak that its position is the mean of: three deviations of the targets."""

Floats = NDArray[np.float32]
Run = Callable[[NDArray[np.uint8]], Mapping[str, Floats]]
"""Runs the net on views uint8 [B, S, S, 1] and returns its outputs by name:
`landmarks` [B, G, G, 4], logits of each landmark's place; `skin` [B, G, G], 0 to 1;
`kind` [B, 3], probabilities of `KINDS`; `left` [B], probability that it is a left hand;
`direction` [B, 4], probabilities of `DIRECTIONS`."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """What the net finds in one view.

    Attributes:
        points: float64 [4, 2], x and y of `LANDMARKS` in px of the view.
        certainty: float64 [4], the share of each landmark's probability that lies around its peak.
        skin: float32 [G, G], probability that a place shows the hand.
        kind: float64 [3], probabilities of `KINDS`.
        left: probability that it is a left hand, if it is one.
        direction: float64 [4], probabilities of `DIRECTIONS`, if it is a crop.
    """

    points: NDArray[np.float64]
    certainty: NDArray[np.float64]
    skin: Floats
    kind: NDArray[np.float64]
    left: float
    direction: NDArray[np.float64]


def read_landmarks(view: NDArray[np.uint8], run: Run) -> Landmarks:
    """Runs the net on one view uint8 [S, S].

    Raises:
        ArithmeticError: if an output is not finite; every answer would be wrong.
    """
    outputs = run(view[None, :, :, None])
    if not all(np.isfinite(outputs[name]).all() for name in OUTPUTS):
        raise ArithmeticError("the finder computed outputs that are not finite")
    points, certainty = decode(outputs["landmarks"][0], view.shape[0])
    return Landmarks(
        points=points,
        certainty=certainty,
        skin=outputs["skin"][0],
        kind=np.asarray(outputs["kind"][0], np.float64),
        left=float(outputs["left"][0]),
        direction=np.asarray(outputs["direction"][0], np.float64),
    )


def decode(logits: Floats, size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Finds each landmark's place between the places of the net's grid.

    The position is the mean of the places around the most probable one, weighted by probability
    (an integral regression, X. Sun et al., ECCV 2018, around the peak alone).

    Args:
        logits: [G, G, K], of each landmark's places.
        size_px: side of the view that the grid covers.

    Returns:
        Points float64 [K, 2], x and y in px of the view, and the probability around each peak,
        float64 [K].
    """
    grid, _, count = logits.shape
    flat = np.asarray(logits, np.float64).reshape(-1, count)
    odds = np.exp(flat - flat.max(axis=0))
    odds /= odds.sum(axis=0)
    rows, columns = np.divmod(odds.argmax(axis=0), grid)
    places: NDArray[np.float64] = np.arange(grid, dtype=np.float64)
    near_y = np.abs(places[:, None] - rows) <= _REACH
    near_x = np.abs(places[:, None] - columns) <= _REACH
    around = odds.reshape(grid, grid, count) * near_y[:, None] * near_x[None]
    mass = around.sum(axis=(0, 1))
    x = (around.sum(axis=0) * places[:, None]).sum(axis=0) / mass
    y = (around.sum(axis=1) * places[:, None]).sum(axis=0) / mass
    stride = size_px / grid
    return (np.stack([x, y], axis=1) + 0.5) * stride - 0.5, mass
