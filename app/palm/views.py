"""The square views of an image that the landmark net sees, and the way back to the image's px."""

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.square import Square, surroundings

CLOSE_SIDE = 3.2
"""Side of the closer view, in distances of the outer gaps: 122 mm of a drawn hand."""

CLOSE_BELOW = 0.5
"""Distance of the closer view's middle from the line of the gaps, in the same unit."""

Points = NDArray[np.float64]


def whole_view(height: int, width: int) -> Square:
    """Returns the smallest square around a whole image, which lies in its middle."""
    side = max(height, width)
    corner = np.array([(width - side) / 2, (height - side) / 2]) - 0.5
    corners = corner + side * np.array([(0.0, 0), (1, 0), (1, 1), (0, 1)])
    return Square(corners, 0.0, float(side))


def close_view(gaps: NDArray[np.floating]) -> Square:
    """Returns the square around a palm and the roots of its fingers, fingers up.

    Args:
        gaps: [3, 2], x and y in px, from left to right when the fingers point up.

    Raises:
        ValueError: if the outer gaps are the same point.
    """
    first, last = np.asarray(gaps[0], np.float64), np.asarray(gaps[2], np.float64)
    chord = last - first
    distance = float(np.hypot(*chord))
    if distance == 0:
        raise ValueError(f"the outer finger gaps are both at {first}; they must differ")
    middle = (first + last) / 2 + CLOSE_BELOW * np.array([-chord[1], chord[0]])
    return square_around(middle, CLOSE_SIDE * distance, float(np.arctan2(chord[1], chord[0])))


def square_around(middle: Points, side_px: float, angle: float) -> Square:
    """Returns a square by its middle [2] and side in px, and its turn in radians, clockwise."""
    right = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-right[1], right[0]])
    half = side_px / 2
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners = middle + half * (signs[:, :1] * right + signs[:, 1:] * down)
    return Square(corners, float(np.degrees(angle)), side_px)


def look(image: NDArray[np.uint8], view: Square, size_px: int) -> NDArray[np.uint8]:
    """Cuts a view out of a grey image. What lies outside the image repeats its edge.

    Unlike `app.palm.square.cut_square`, it averages over a whole number of pixels first and then
    takes at most a third more or less, which is twice as fast.

    Args:
        image: uint8 [H, W].
        view: square, in px of the image.
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px].
    """
    part, corners = surroundings(image, view)
    times = max(min(round(view.side_px / size_px), *part.shape), 1)
    if times > 1:
        height, width = (side // times for side in part.shape)
        whole = part[: height * times, : width * times]
        part = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        corners = (corners + 0.5) / times - 0.5
    edge = np.array([(0, 0), (size_px, 0), (size_px, size_px)], np.float32) - 0.5
    matrix = cv2.getAffineTransform(corners[:3].astype(np.float32), edge)
    seen = cv2.warpAffine(
        part, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.uint8)


def look_at_all(
    image: NDArray[np.uint8], size_px: int, bars: int | None = None
) -> NDArray[np.uint8]:
    """Returns the whole image in `whole_view`, uint8 [size_px, size_px].

    Args:
        image: uint8 [H, W].
        size_px: side of the result.
        bars: brightness of the bars beside or above the image; None is the image's mean.
    """
    height, width = image.shape
    seen = look(image, whole_view(height, width), size_px)
    left, top = (round(size_px * (1 - side / max(height, width)) / 2) for side in (width, height))
    inner = seen[top : size_px - top, left : size_px - left]
    view = np.full_like(seen, round(float(inner.mean())) if bars is None else bars)
    view[top : size_px - top, left : size_px - left] = inner
    return view


def from_view(points: NDArray[np.floating], view: Square, size_px: int) -> Points:
    """Maps points [K, 2] from px of a view with a side of `size_px` to px of its image."""
    first, right, _, left = view.corners
    shares = (np.asarray(points, np.float64) + 0.5) / size_px
    return first + shares[:, :1] * (right - first) + shares[:, 1:] * (left - first)


def to_view(points: NDArray[np.floating], view: Square, size_px: int) -> Points:
    """Maps points [K, 2] from px of an image to px of a view of it; undoes `from_view`."""
    first, right, _, left = view.corners
    axes = np.stack([right - first, left - first]) / view.side_px
    return (np.asarray(points, np.float64) - first) @ axes.T / view.side_px * size_px - 0.5
