"""Seams: narrow lines between fingers that touch or nearly do."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_DEPTHS = (0.05, 0.08, 0.13, 0.2)
"""Least differences of a line from both of its sides, relative to the brightness. Veins and creases
reach them too; their places rule them out. Where the lowest joins a line to creases, a higher one
parts them."""

_LENGTH = 1 / 32  # least length, in longer sides of the image
_WIDTH = 0.2  # greatest width of a line for its length
MAX_SEAMS = 32
"""Most lines kept, the longest."""


@dataclass(frozen=True, slots=True)
class Seams:
    """Straight lines of an image.

    Attributes:
        ends: float64 [S, 2, 2], both ends of each line, x and y in px.
        mask: uint8 [H, W], 1 on the lines.
    """

    ends: NDArray[np.float64]
    mask: NDArray[np.uint8]


def find_seams(grey: NDArray[np.uint8]) -> Seams:
    """Finds straight lines that are darker, or brighter, than both of their sides.

    Between fingers that touch, a dark line tells them apart; between fingers that nearly touch, a
    line of the background, which is brighter than dark fingers.

    Args:
        grey: uint8 [H, W], a few hundred px wide.
    """
    soft = cv2.GaussianBlur(grey, (0, 0), 0.9)
    size = max(5, round(max(grey.shape) / 45)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    closed = cv2.morphologyEx(soft, cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(soft, cv2.MORPH_OPEN, kernel)
    dark = np.asarray(cv2.subtract(closed, soft), np.uint8)
    bright = np.asarray(cv2.subtract(soft, opened), np.uint8)
    all_ends: list[NDArray[np.float64]] = []
    mask = np.zeros(grey.shape, np.uint8)
    for line in (dark, bright, np.maximum(dark, bright)):
        for depth in _DEPTHS:
            least = np.maximum(closed * np.float32(depth), 3)
            marked = line > least
            all_ends.append(_straight(marked.astype(np.uint8), mask))
    ends = np.concatenate(all_ends)
    length = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    return Seams(ends[np.argsort(-length)[:MAX_SEAMS]], mask)


def _straight(marked: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns the ends [S, 2, 2] of the straight pieces, and marks their pixels in `mask`."""
    count, found, table, means = cv2.connectedComponentsWithStats(marked, connectivity=8)
    labels, stats = np.asarray(found, np.int32), np.asarray(table, np.int32)
    centres = np.asarray(means, np.float64)
    least = max(marked.shape) * _LENGTH
    long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= least
    long[0] = False
    flat = np.flatnonzero(long[labels.ravel()])
    owner = labels.ravel()[flat]
    y, x = np.divmod(flat, marked.shape[1])
    points = np.stack([x, y], axis=1) - centres[owner]
    size = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    xx, yy, xy = (
        np.bincount(owner, points[:, i] * points[:, j], count) / size
        for i, j in ((0, 0), (1, 1), (0, 1))
    )
    half, root = (xx + yy) / 2, np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    # A uniform line of length L has the variance L^2 / 12.
    straight = long & ((half + root) * 12 >= least**2) & (half - root <= _WIDTH**2 * (half + root))
    angle = np.arctan2(2 * xy, xx - yy) / 2
    axis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    kept = straight[owner]
    mask.ravel()[flat[kept]] = 1
    along = (points * axis[owner]).sum(axis=1)
    ends = np.zeros((count, 2))
    np.minimum.at(ends[:, 0], owner[kept], along[kept])
    np.maximum.at(ends[:, 1], owner[kept], along[kept])
    return (centres[:, None] + ends[..., None] * axis[:, None])[straight]
