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

REACH = 3
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
    flat = np.ascontiguousarray(logits.reshape(-1, count).T, np.float64)
    odds = np.exp(flat - flat.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    points, mass = np.empty((count, 2)), np.empty(count)
    for k, peak in enumerate(odds.argmax(axis=1).tolist()):
        row, column = divmod(peak, grid)
        top, left = max(row - REACH, 0), max(column - REACH, 0)
        near = np.s_[top : row + REACH + 1, left : column + REACH + 1]
        around = odds[k].reshape(grid, grid)[near]
        mass[k] = around.sum()
        points[k] = left + _mean_place(around.sum(axis=0)), top + _mean_place(around.sum(axis=1))
    stride = size_px / grid
    return (points + 0.5) * stride - 0.5, mass


def _mean_place(weights: NDArray[np.float64]) -> float:
    """Returns the mean of the places 0 to P - 1, weighted by [P]."""
    return float(np.arange(len(weights)) @ weights / weights.sum())
