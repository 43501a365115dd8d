"""Valleys of an outline: the points where it turns back between two fingers."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.seams import Seams

MAX_VALLEYS = 32
"""Most valleys kept of one outline: the time grows with its square."""

MAX_OUTLINES = 2
"""Most outlines of a mask that are followed, the largest: a sleeve can be larger than the hand."""

_WIDEST_DEG = 100.0
"""Greatest angle between a valley's sides. Fingers spread by up to 32 degrees, and a gap's end is
round."""

_ARMS = (0.8, 0.5, 0.28)
"""Lengths of a valley's sides along the outline, as shares of the palm's radius. Long sides measure
wide gaps; short ones suit outlines whose largest circle lies in something larger than the palm."""


_SEAM_DEG = (50.0, 40.0)
"""Angle that stands for a short seam when the narrowest valleys are kept, and how much less it is
for one as long as the palm's radius."""

_LEAST_AREA = 0.015  # share of the image that an outline surrounds


@dataclass(frozen=True, slots=True)
class Valleys:
    """Valleys of one outline and its holes.

    Attributes:
        points: float64 [V, 2], deepest points, x and y in px.
        directions: float64 [V, 2], unit vectors from there to the opening.
        radius_px: radius of the largest circle inside the outline.
        filled: uint8 [H, W], 1 inside the outline, holes included.
    """

    points: NDArray[np.float64]
    directions: NDArray[np.float64]
    radius_px: float
    filled: NDArray[np.uint8]


def find_valleys(mask: NDArray[np.uint8], seams: Seams) -> list[Valleys]:
    """Finds the valleys of the largest outlines of a mask, and the ends of seams inside them.

    A valley is a point where both sides of the outline, followed for half a palm's radius, lead
    into nearly the same direction, with the background between them. Holes count too: the gap of
    fingers that touch at their tips is one. Each end of a seam is a valley that opens along it.

    Args:
        mask: uint8 [H, W], not 0 on the hand.
        seams: lines of the same image.

    Returns:
        For each outline with at least three valleys, its narrowest, at most `MAX_VALLEYS`.
    """
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return []
    parents = tree.reshape(-1, 4)[:, 3]
    areas = np.array([cv2.contourArea(outline) for outline in outlines]) * (parents < 0)
    found: list[Valleys] = []
    for number in np.argsort(-areas)[:MAX_OUTLINES].tolist():
        if areas[number] > _LEAST_AREA * mask.size:
            holes = np.flatnonzero(parents == number).tolist()
            family = [np.asarray(outlines[i], np.int32) for i in (number, *holes)]
            valleys = _of_family(family, mask.shape, seams)
            if valleys is not None:
                found.append(valleys)
    return found


def _of_family(
    family: list[NDArray[np.int32]], shape: tuple[int, int], seams: Seams
) -> Valleys | None:
    """Returns the valleys of an outline and its holes; None if they are fewer than three."""
    filled = np.zeros(shape, np.uint8)
    cv2.drawContours(filled, family[:1], -1, 1, cv2.FILLED)
    radius = float(cv2.distanceTransform(filled, cv2.DIST_L2, 3).max())
    turns = [_seam_ends(seams, filled, radius)]
    for outline in family:
        for share in _ARMS:
            arm = round(share * radius)
            if arm >= 4 and len(outline) > 3 * arm:
                turns.append(_turns(outline[:, 0].astype(np.float64), arm))
    valleys = _distinct(np.concatenate(turns), 0.15 * radius)
    if len(valleys) < 3:
        return None
    return Valleys(valleys[:, 0:2], valleys[:, 2:4], radius, filled)


def _seam_ends(seams: Seams, filled: NDArray[np.uint8], radius: float) -> NDArray[np.float64]:
    """Returns the ends inside the outline as rows of `_turns`."""
    points = seams.ends.reshape(-1, 2)
    along = (seams.ends[:, ::-1] - seams.ends).reshape(-1, 2)
    length = np.hypot(along[:, 0], along[:, 1])[:, None]
    x, y = np.clip(np.rint(points), 0, np.array(filled.shape)[::-1] - 1).astype(int).T
    angle = _SEAM_DEG[0] - _SEAM_DEG[1] * np.minimum(length / radius, 1)
    rows = np.hstack([points, along / length, angle])
    return rows[filled[y, x] > 0]


def _turns(outline: NDArray[np.float64], arm: int) -> NDArray[np.float64]:
    """Returns the valleys of one outline [N, 2]: rows of x, y, direction x, y and angle in deg."""
    line = (np.roll(outline, 1, 0) + outline + np.roll(outline, -1, 0)) / 3
    before, after = np.roll(line, arm, 0) - line, np.roll(line, -arm, 0) - line
    before /= np.maximum(np.hypot(before[:, 0], before[:, 1]), 1e-6)[:, None]
    after /= np.maximum(np.hypot(after[:, 0], after[:, 1]), 1e-6)[:, None]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    cosine = (before * after).sum(axis=1)
    # OpenCV follows outer outlines counterclockwise and holes clockwise: the sign of a valley is
    # the same for both.
    angle = np.where(cross < 0.02, np.degrees(np.arccos(np.clip(cosine, -1, 1))), 180.0)
    window = 2 * (arm // 2) + 1
    wrapped = np.concatenate([angle[-window:], angle, angle[:window]]).astype(np.float32)
    lowest = cv2.erode(wrapped[None], np.ones((1, window), np.uint8))[0, window:-window]
    chosen = np.flatnonzero((angle <= lowest + 1e-3) & (angle < _WIDEST_DEG))
    direction = before[chosen] + after[chosen]
    direction /= np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-6)[:, None]
    nearby = (chosen[:, None] + np.arange(-(arm // 2), arm // 2 + 1)) % len(outline)
    near = outline[nearby]
    deepest = np.einsum("nkd,nd->nk", near, direction).argmin(axis=1)
    return np.column_stack([near[np.arange(len(chosen)), deepest], direction, angle[chosen]])


def _distinct(valleys: NDArray[np.float64], apart: float) -> NDArray[np.float64]:
    """Returns the narrowest valleys, rows as of `_turns`, none of them close to another."""
    rows = valleys[np.argsort(valleys[:, 4], kind="stable")[: 4 * MAX_VALLEYS]]
    close = ((rows[:, None, :2] - rows[None, :, :2]) ** 2).sum(2) < apart**2
    kept: list[int] = []
    free = np.ones(len(rows), bool)
    for number in range(len(rows)):
        if free[number]:
            kept.append(number)
            free &= ~close[number]
    return rows[kept[:MAX_VALLEYS]]
