"""The square region of interest of a whole hand, tied to its finger gaps and its middle."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 64 / 38
"""Side of the square, as a share of the distance of the outer finger gaps. Regions of interest in
palm databases show about 64 mm; the gaps of drawn palms are 38 mm apart."""

BELOW = 14.2 / 38
"""Distance of the square's upper side from the line of the outer gaps, as the same share."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square region of a palm, turned so that the fingers point up.

    Attributes:
        corners: float64 [4, 2], x and y in px: upper left, upper right, lower right and lower left
            when the fingers point up. The centre of the image's first pixel is (0, 0).
        rotation_deg: turn of the hand, -180 to 180. 0: the fingers point up in the image; 90: they
            point right.
        side_px: length of the upper side in px of the image.
    """

    corners: NDArray[np.float64]
    rotation_deg: float
    side_px: float

    @property
    def sides_px(self) -> tuple[float, float]:
        """The lengths of the upper and of the left side in px; of a tilted palm they differ."""
        along, depth = self.corners[1] - self.corners[0], self.corners[3] - self.corners[0]
        return float(np.hypot(*along)), float(np.hypot(*depth))


def square_below(gaps: NDArray[np.floating], middle: NDArray[np.floating] | None = None) -> Square:
    """Returns the square of three finger gaps.

    Args:
        gaps: [3, 2], x and y in px, from left to right when the fingers point up.
        middle: [2], the palm's middle. The square of a tilted palm is as narrow, short or slanting
            as the palm looks, so that what is cut out looks as if it were not tilted. None takes
            the palm for parallel to the camera.

    Raises:
        ValueError: if the outer gaps are the same point.
    """
    first, last = np.asarray(gaps[0], np.float64), np.asarray(gaps[2], np.float64)
    right = last - first
    distance = float(np.hypot(*right))
    if distance == 0:
        raise ValueError(f"the outer finger gaps are both at {first}; they must differ")
    between = (first + last) / 2
    down = np.array([-right[1], right[0]])
    if middle is not None:
        down = (np.asarray(middle, np.float64) - between) / (BELOW + SIDE / 2)
    corner = between + BELOW * down - SIDE / 2 * right
    along, depth = SIDE * right, SIDE * down
    return Square(
        corners=np.stack([corner, corner + along, corner + along + depth, corner + depth]),
        rotation_deg=float(np.degrees(np.arctan2(right[1], right[0]))),
        side_px=SIDE * distance,
    )


def middle_below(gaps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns where the middle of an untilted palm lies, [2], from its gaps [3, 2]."""
    first, last = np.asarray(gaps[0], np.float64), np.asarray(gaps[2], np.float64)
    right = last - first
    return (first + last) / 2 + (BELOW + SIDE / 2) * np.array([-right[1], right[0]])


def pose_of(gaps: NDArray[np.floating], middle: NDArray[np.floating]) -> float:
    """Returns about the cosine of a palm's tilt, 0 to 1, from its gaps [3, 2] and its middle [2].

    Tilted about the fingers' axis a palm looks narrower, about the other one shorter. So its middle
    is farther from the gaps than their distance promises, or nearer.
    """
    between = (np.asarray(gaps[0], np.float64) + gaps[2]) / 2
    expected, seen = middle_below(gaps) - between, middle - between
    longer = max(float(np.hypot(*expected)), float(np.hypot(*seen)), 1e-9)
    return float(max(1 - np.hypot(*(seen - expected)) / longer, 0.0))


def whole_square(height: int, width: int) -> Square:
    """Returns the largest centred square of an image, which `app.palm.roi.prepare` cuts."""
    side = min(height, width)
    left, top = (width - side) // 2 - 0.5, (height - side) // 2 - 0.5
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)]) + np.array([left, top])
    return Square(corners, 0.0, float(side))


def cut_square(image: NDArray[np.uint8], square: Square, size_px: int) -> NDArray[np.uint8]:
    """Cuts a square out of an image, upright. What lies outside the image repeats its edge.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        square: region of interest, in px of the image.
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px] or [size_px, size_px, 3]; downscaling is antialiased.
    """
    part, corners = surroundings(image, square)
    shrink = max(square.sides_px) / size_px
    if shrink > 2:  # the warp reads four pixels only: average the others first
        height, width = part.shape[:2]
        smaller = (max(round(width * 2 / shrink), 1), max(round(height * 2 / shrink), 1))
        part = cv2.resize(part, smaller, interpolation=cv2.INTER_AREA)
        scale = np.array([smaller[0] / width, smaller[1] / height])
        corners = (corners + 0.5) * scale - 0.5
    drawn = int(size_px * min(max(shrink, 1), 2) + 0.5)
    edge = np.array([(0, 0), (drawn, 0), (drawn, drawn)], np.float32) - 0.5
    matrix = cv2.getAffineTransform(corners[:3].astype(np.float32), edge)
    warped = cv2.warpAffine(
        part, matrix, (drawn, drawn), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if drawn != size_px:
        warped = cv2.resize(warped, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(warped, np.uint8)


def surroundings(
    image: NDArray[np.uint8], square: Square
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Returns the part of an image that holds a square, and its corners in px of the part."""
    height, width = image.shape[:2]
    left, top = np.floor(square.corners.min(axis=0) - 2).astype(int)
    right, bottom = np.ceil(square.corners.max(axis=0) + 3).astype(int)
    left, right = np.clip([left, right], [0, 1], [width - 1, width]).tolist()
    top, bottom = np.clip([top, bottom], [0, 1], [height - 1, height]).tolist()
    return image[top:bottom, left:right], square.corners - (left, top)
