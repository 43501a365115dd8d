"""Follows finger gaps into the palm, to the point where they end."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_STEP = 1 / 24  # distance of the samples; all lengths here are in distances of the outer gaps
_ACROSS = 1 / 48  # their distance across the gap
_BESIDE = 6  # samples from a gap's middle to its sides
_TRACK = 4  # samples to each side, where the gap's middle may lie
_OUT, _IN = 0.35, -0.75  # where the samples start and end, from the given points
_ENDED = 0.4  # share of the gap's strength below which it has ended
_FAINT = 0.035  # strength that is noise, a share of the brightness
_PAUSE = 2  # samples in which a gap may vanish: a crease or a change from bright to dark


@dataclass(frozen=True, slots=True)
class Traces:
    """Gaps that were followed into the palm.

    Attributes:
        ends: float64 [N, 2], where they end, x and y in px.
        given: float64 [N, 2], how strong the line is before and behind the given point, as shares
            of the brightness.
        found: float64 [N, 2], the same before and behind the end.
    """

    ends: Float
    given: Float
    found: Float


def trace_gaps(
    grey: NDArray[np.uint8], points: Float, directions: Float, distance: Float
) -> Traces:
    """Follows gaps against their directions until they end.

    A gap is a line that differs from both of its sides: darker where fingers touch, of the
    background's brightness where they do not.

    Args:
        grey: uint8 [H, W].
        points: [N, 2], on the gaps, x and y in px.
        directions: [N, 2], unit vectors of the gaps' openings.
        distance: [N], distance of the outer gaps in px.
    """
    along = np.arange(_OUT, _IN, -_STEP)
    column, height = _track(line_strength(grey, points, directions, distance, along))
    begin = round(_OUT / _STEP)
    ends = _ends(height, begin)
    rows = np.arange(len(points))
    side = (column[rows, ends] - _TRACK) * _ACROSS
    across = np.stack([-directions[:, 1], directions[:, 0]], axis=1)
    moved = along[ends][:, None] * directions + side[:, None] * across
    moved[ends == begin] = 0
    return Traces(
        points + distance[:, None] * moved,
        _before_and_behind(height, np.full(len(points), begin)),
        _before_and_behind(height, ends),
    )


def line_strength(
    grey: NDArray[np.uint8], points: Float, directions: Float, distance: Float, along: Float
) -> Float:
    """Returns how much places beside an axis differ from both of their sides.

    Args:
        grey: uint8 [H, W].
        points: [N, 2], where the axes start.
        directions: [N, 2], unit vectors of the axes.
        distance: [N], unit of length in px.
        along: [T], places on the axis, in that unit.

    Returns:
        [N, T, 9], at `along` and at 9 places across; a share of the brightness, at least 0.
    """
    reach = _TRACK + _BESIDE
    across = np.stack([-directions[:, 1], directions[:, 0]], axis=1) * distance[:, None]
    forward = directions * distance[:, None]
    offsets = np.arange(-reach, reach + 1) * _ACROSS
    x, y = (
        points[:, None, None, i]
        + along[None, :, None] * forward[:, None, None, i]
        + offsets[None, None] * across[:, None, None, i]
        for i in range(2)
    )
    flat = (len(points) * len(along), len(offsets))
    seen = cv2.remap(
        grey,
        x.reshape(flat).astype(np.float32),
        y.reshape(flat).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    levels = seen.astype(np.float32).reshape(len(points), len(along), -1)
    width = 2 * _TRACK + 1
    middle = levels[..., _BESIDE : _BESIDE + width]
    left, right = levels[..., :width], levels[..., 2 * _BESIDE :]
    high, low = np.maximum(left, right), np.minimum(left, right)
    strength = np.maximum(np.maximum(low - middle, middle - high), 0)
    return np.asarray(strength / np.maximum(high, 8), np.float64)


def _track(strength: Float) -> tuple[NDArray[np.intp], Float]:
    """Returns the column of the strongest line [N, T] and its strength [N, T], smoothed."""
    count, steps, width = strength.shape
    padded = np.full((count, width + 2), -1.0)
    total = strength[:, 0]
    choices = np.empty((steps, count, width), np.intp)
    for step in range(1, steps):
        padded[:, 1:-1] = total
        options = np.stack([padded[:, :-2] - 0.01, padded[:, 1:-1], padded[:, 2:] - 0.01])
        choices[step] = options.argmax(axis=0)
        total = options.max(axis=0) + strength[:, step]
    column = np.empty((count, steps), np.intp)
    column[:, -1] = total.argmax(axis=1)
    rows: NDArray[np.intp] = np.arange(count, dtype=np.intp)
    for step in range(steps - 1, 0, -1):
        now = column[:, step]
        column[:, step - 1] = now + choices[step, rows, now] - 1
    height = np.take_along_axis(strength, column[..., None], 2)[..., 0]
    edged = np.pad(height, ((0, 0), (1, 1)), mode="edge")
    return column, (edged[:, :-2] + edged[:, 1:-1] + edged[:, 2:]) / 3


def _ends(height: Float, begin: int) -> NDArray[np.intp]:
    """Returns the last sample [N] of each line that passes `begin`."""
    before = height[:, max(begin - 6, 0) : begin + 1].mean(axis=1)
    present = height > np.maximum(_ENDED * before, _FAINT)[:, None]
    ends = np.full(len(height), begin)
    missed = np.zeros(len(height), np.intp)
    for step in range(begin, height.shape[1]):
        ended = missed > _PAUSE
        missed = np.where(present[:, step] & ~ended, 0, missed + 1)
        going = missed <= _PAUSE
        ends[going & present[:, step]] = step
        if not going.any():
            break
    return ends


def _before_and_behind(height: Float, ends: NDArray[np.intp]) -> Float:
    """Returns the mean strength of each line before and behind a sample, [N, 2]."""
    rows = np.arange(len(height)).reshape(-1, 1)
    last = height.shape[1] - 1
    before = np.clip(ends[:, None] - np.arange(1, 7), 0, last)
    behind = np.clip(ends[:, None] + np.arange(2, 5), 0, last)
    return np.stack([height[rows, before].mean(1), height[rows, behind].mean(1)], axis=1)
