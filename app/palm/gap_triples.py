"""Which three valleys of an outline are the finger gaps: geometry, fingers and skin around them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm import gap_weights as weights
from app.palm.gap_tracing import line_strength, trace_gaps
from app.palm.probes import finger_axes, rays, sample, square_places
from app.palm.valleys import Valleys

Float = NDArray[np.float64]

FEATURES = (
    "bias",
    "uneven",
    "middle_off",
    "middle_off_squared",
    "lean",
    "fan",
    "fan_order",
    "fingers",
    "thinnest_finger",
    "gaps",
    "fullest_gap",
    "sides",
    "fullest_side",
    "square",
    "square_cut",
    "size",
    "rough",
    "contrast",
    "line",
    "faintest_line",
    "behind",
    "strongest_behind",
    "beyond_one",
    "beyond_other",
)
"""What a triple is scored by; see `_measure`."""

# Weights of a logistic regression on the same hands as those of `gap_weights`, for the first
# choice, without the lines.
# fmt: off
FIRST_WEIGHTS = np.array([
    1.68, -14.32, -17.74, -0.08, -10.46, -2.35, -0.38, -0.86, 1.55, -7.04, 2.62, 0.83, -2.28, 2.28,
    0.58, -0.29, -9.66, 0.69,
])
# fmt: on

KEPT = 4
"""Triples of a mask whose gaps are followed into the palm, the likeliest at first sight."""


@dataclass(frozen=True, slots=True)
class Triples:
    """Candidates for the finger gaps in one mask.

    Attributes:
        gaps: float64 [T, 3, 2], x and y in px, from left to right when the fingers point up.
        opens: float64 [T, 3, 2], unit vectors of their openings.
        features: float64 [T, F], as `FEATURES`.
    """

    gaps: Float
    opens: Float
    features: Float

    def scores(self) -> Float:
        """Returns the logarithm of the odds that each is right, [T]."""
        scaled = (self.features[:, 1:] - weights.MEAN) / weights.DEVIATION
        hidden = np.tanh(np.clip(scaled, -5, 5) @ weights.HIDDEN + weights.HIDDEN_BIAS)
        return hidden @ weights.OUT + weights.OUT_BIAS


def find_triples(
    valleys: Valleys, mask: NDArray[np.uint8], grey: NDArray[np.uint8], fine: NDArray[np.uint8]
) -> Triples | None:
    """Finds the triples of valleys that may be the finger gaps.

    Args:
        valleys: valleys of the mask.
        mask: uint8 [H, W], 1 on the hand.
        grey: uint8 [H, W], brightness.
        fine: uint8, the same in more pixels, in which the gaps are followed.

    Returns:
        The likeliest triples, and the same with gaps followed into the palm; None if there is none.
    """
    order = _rows_of_three(valleys.points)
    gaps, opens = valleys.points[order], valleys.directions[order]
    chosen = _in_a_row(gaps, opens, valleys.radius_px)
    if not chosen.any():
        return None
    gaps, opens = gaps[chosen], opens[chosen]
    features = _measure(gaps, opens, valleys, mask, blurred(grey))
    first = np.argsort(-(features @ FIRST_WEIGHTS))[:KEPT]
    gaps, opens, lines = _followed(gaps[first], opens[first], fine, fine.shape[1] / grey.shape[1])
    chosen = _in_a_row(gaps, opens, valleys.radius_px)
    if not chosen.any():
        return None
    gaps, opens, lines = gaps[chosen], opens[chosen], lines[chosen]
    features = _measure(gaps, opens, valleys, mask, blurred(grey))
    return Triples(
        gaps,
        opens,
        np.hstack([features, lines, _beyond(gaps, opens, fine, fine.shape[1] / grey.shape[1])]),
    )


def _in_a_row(gaps: Float, opens: Float, radius_px: float) -> NDArray[np.bool_]:
    """Tells which triples are evenly spaced, in a row, and open to one side."""
    chord = gaps[:, 2] - gaps[:, 0]
    distance = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-9)
    right = chord / distance[:, None]
    up = np.stack([right[:, 1], -right[:, 0]], axis=1)
    inner = (gaps[:, 1] - gaps[:, 0]) / distance[:, None]
    along, above = (inner * right).sum(1), (inner * up).sum(1)
    rises = (opens * up[:, None]).sum(2)
    size = distance / radius_px
    return (
        (np.abs(along - 0.5) < 0.17)
        & (np.abs(above - 0.06) < 0.25)
        & (rises.min(axis=1) > 0.6)
        & (size > 0.3)
        & (size < 2.2)
        & (distance > 8)
    )


def _followed(
    gaps: Float, opens: Float, fine: NDArray[np.uint8], zoom: float
) -> tuple[Float, Float, Float]:
    """Follows gaps into the palm, and returns all eight choices of given and followed gaps.

    Returns:
        Gaps and openings, [8 T, 3, 2]; four features of the lines, [8 T, 4].
    """
    distance = np.hypot(*(gaps[:, 2] - gaps[:, 0]).T)
    each = np.repeat(distance, 3)
    points = (gaps.reshape(-1, 2) + 0.5) * zoom - 0.5
    traces = trace_gaps(fine, points, opens.reshape(-1, 2), each * zoom)
    places = np.stack([gaps, (traces.ends.reshape(-1, 3, 2) + 0.5) / zoom - 0.5])
    lines = np.stack([traces.given.reshape(-1, 3, 2), traces.found.reshape(-1, 3, 2)])
    moved = (
        np.hypot(*(places[1] - places[0]).reshape(-1, 2).T).reshape(-1, 3)
        > 0.02 * distance[:, None]
    )
    all_gaps: list[Float] = []
    all_opens: list[Float] = []
    features: list[Float] = []
    columns = np.arange(3)
    for number in range(8):
        choice = number >> columns & 1
        new = (moved | (choice == 0)).all(axis=1)
        all_gaps.append(places[choice, :, columns].transpose(1, 0, 2)[new])
        all_opens.append(opens[new])
        line = lines[choice, :, columns].transpose(1, 0, 2)[new]
        before, behind = line[..., 0], line[..., 1]
        features.append(
            np.stack([before.mean(1), before.min(1), behind.mean(1), behind.max(1)], axis=1)
        )
    return np.concatenate(all_gaps), np.concatenate(all_opens), np.concatenate(features)


def _beyond(gaps: Float, opens: Float, fine: NDArray[np.uint8], zoom: float) -> Float:
    """Returns how strong a line is where a fourth gap would be, left and right, [T, 2] sorted."""
    chord = gaps[:, 2] - gaps[:, 0]
    distance = np.hypot(chord[:, 0], chord[:, 1])
    points = np.concatenate([gaps[:, 0] - chord / 2, gaps[:, 2] + chord / 2])
    axes = np.concatenate([opens[:, 0], opens[:, 2]])
    along = np.linspace(0.05, 0.35, 8)
    points = (points + 0.5) * zoom - 0.5
    strength = line_strength(fine, points, axes, np.tile(distance * zoom, 2), along)
    return np.sort(strength.max(axis=2).mean(axis=1).reshape(2, -1).T, axis=1)


def _rows_of_three(points: Float) -> NDArray[np.intp]:
    """Returns for each ordered pair of points the two points nearest to their middle, [T, 3]."""
    first, last = np.nonzero(~np.eye(len(points), dtype=bool))
    chord = points[last] - points[first]
    # A little above the middle, as the gap beside the middle finger is.
    expected = (points[first] + points[last]) / 2 + 0.06 * chord[:, ::-1] * (1, -1)
    apart = ((expected[:, None] - points[None]) ** 2).sum(2)
    rows = np.arange(len(first))
    apart[rows, first] = apart[rows, last] = np.inf
    nearest = np.argpartition(apart, 1, axis=1)[:, :2]
    rows_of_three = [np.stack([first, middle, last], axis=1) for middle in nearest.T]
    return np.concatenate(rows_of_three)


def _measure(
    gaps: Float,
    opens: Float,
    valleys: Valleys,
    mask: NDArray[np.uint8],
    grey: NDArray[np.uint8],
) -> Float:
    """Returns the features of triples, float64 [T, F].

    Args:
        gaps: [T, 3, 2] in px.
        opens: [T, 3, 2], unit vectors of the gaps' openings.
        valleys: valleys of the mask.
        mask: 1 on the hand.
        grey: brightness.
    """
    chord = gaps[:, 2] - gaps[:, 0]
    distance = np.hypot(chord[:, 0], chord[:, 1])
    right = chord / distance[:, None]
    up = np.stack([right[:, 1], -right[:, 0]], axis=1)
    inner = (gaps[:, 1] - gaps[:, 0]) / distance[:, None]
    along, above = (inner * right).sum(1), (inner * up).sum(1)
    size = distance / valleys.radius_px
    tilt = np.arctan2((opens * right[:, None]).sum(2), (opens * up[:, None]).sum(2))
    axes, roots = finger_axes(gaps, tilt, chord)
    on_fingers = sample(mask, rays(roots[:, 1:5], axes[:, 1:5], right, up, distance)).mean(2)
    sides = sample(mask, rays(roots[:, [0, 5]], axes[:, [0, 5]], right, up, distance)).mean(2)
    between = sample(mask, rays(gaps, tilt, right, up, distance)).mean(2)
    places = square_places(gaps, right, up, distance)
    inside, kept = sample(valleys.filled, places), sample(mask, places)
    levels = sample(grey, places, outside=0.0)
    mean = np.maximum(levels.mean(1), 1)
    outside = sample(grey, rays(gaps, tilt, right, up, distance), outside=0.0).mean((1, 2))
    skin = inside.mean(1)
    return np.stack(
        [
            np.ones(len(gaps)),
            np.abs(along - 0.5),
            np.abs(above - 0.06),
            (10 * (above - 0.06)) ** 2,
            np.abs(tilt.mean(1)),
            np.abs(tilt - tilt.mean(1, keepdims=True)).max(1),
            np.maximum(-np.diff(tilt, axis=1), 0).sum(1),
            on_fingers.mean(1),
            on_fingers.min(1),
            between.mean(1),
            between.max(1),
            sides.mean(1),
            sides.max(1),
            np.maximum(skin, 0.5),
            skin - kept.mean(1),
            np.abs(np.log(size)),
            levels.std(1) / mean,
            np.minimum(np.abs(outside - mean) / mean, 1),
        ],
        axis=1,
    )


def blurred(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns brightness without fine lines, for `find_triples`."""
    return np.asarray(cv2.blur(grey, (5, 5)), np.uint8)
