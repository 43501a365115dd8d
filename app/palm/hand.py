"""Finds a hand in a photograph, and cuts its palm's region of interest.

The palm is assumed to face the camera: the net tells left from right by the thumb's side.
"""

from dataclasses import dataclass
from math import floor
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.capture import Capture, CaptureMode
from app.palm.errors import PalmNotFound
from app.palm.finder import Finder, Look, Search, to_grey
from app.palm.square import Square, cut_square, pose_of, square_below, whole_square

OUTLINE_PX = 320
"""Longer side of a hand's outline."""

LEAST_CROP = 0.5
"""Probability from which an image is taken for a region of interest, if it may be either."""

PARALLEL = 0.9
"""Pose from which a palm is taken for parallel to the camera: so near 1 it is noise. Of drawn palms
that are parallel, 95 % have 0.93 or more."""

_UNTOLD = 0.1  # distance from even odds within which left and right are not told apart

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Hand:
    """A hand in an image.

    Attributes:
        gaps: float64 [3, 2], the finger gaps, x and y in px, from left to right when the fingers
            point up.
        pose: about the cosine of the palm's tilt, 0 to 1.
        square: region of interest.
        hand: which hand it is if its palm faces the camera; None if it cannot be told.
        certainty: 0 to 1, that the gaps are right.
        outline: uint8 [h, w], 1 on the hand's palm; a smaller image of the same extent.
    """

    gaps: NDArray[np.float64]
    pose: float
    square: Square
    hand: Literal["left", "right"] | None
    certainty: float
    outline: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Region:
    """Where the palm lies in an image.

    Attributes:
        capture: "hand" if a hand was found; "roi" if the image is a region of interest already.
        square: the region of interest.
        hand: the hand that was found; None for a region of interest.
        certainty: 0 to 1; for a hand: that its gaps are right; for a region of interest: that it
            shows a palm.
        directions: probabilities of `app.palm.landmarks.DIRECTIONS`: where the fingers point in the
            square. Those of a hand point up.
    """

    capture: Capture
    square: Square
    hand: Hand | None
    certainty: float
    directions: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)


def locate(image: Image, finder: Finder, mode: CaptureMode = "auto") -> Region:
    """Locates the palm in an image of a whole hand, or in one that shows nothing but a palm.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].
        finder: finds the gaps.
        mode: what the image is taken for: a hand, a region of interest (whatever its certainty),
            or either.

    Raises:
        PalmNotFound: if neither is recognised.
    """
    grey = to_grey(image)
    whole = finder.glance(grey)
    crop = whole.kind("crop")
    if mode == "roi" or (mode == "auto" and crop >= LEAST_CROP):
        directions = tuple(whole.found.direction.tolist())
        return Region("roi", whole_square(*image.shape[:2]), None, crop, directions)
    found = finder.search(grey, whole)
    if found.certainty < finder.least_certainty:
        raise PalmNotFound(
            f"no open hand is found (certainty {floor(100 * found.certainty) / 100:.2f}, at least "
            f"{finder.least_certainty:.2f} is needed); show the palm to the camera with the "
            "fingers apart and the three gaps between them in view, or send capture=roi if the "
            "image is a square crop of a palm"
        )
    hand = _as_hand(found, image.shape[:2])
    return Region("hand", hand.square, hand, hand.certainty)


def find_hand(image: Image, finder: Finder, least_certainty: float | None = None) -> Hand | None:
    """Finds the hand in an image.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3]; any rotation, either hand.
        finder: finds the gaps.
        least_certainty: certainty below which None is returned, 0 to 1; by default the finder's.
    """
    grey = to_grey(image)
    found = finder.search(grey, finder.glance(grey))
    least = finder.least_certainty if least_certainty is None else least_certainty
    if found.certainty == 0 or found.certainty < least:
        return None
    return _as_hand(found, image.shape[:2])


def cut(image: Image, hand: Hand, size_px: int) -> tuple[Image, NDArray[np.bool_]]:
    """Cuts a hand's region of interest, upright.

    Args:
        image: uint8 [H, W] or [H, W, 3], in which the hand was found.
        hand: the hand.
        size_px: side of the result.

    Returns:
        The square, uint8 [size_px, size_px] or [size_px, size_px, 3]; and which of its pixels lie
        on the hand, bool [size_px, size_px].
    """
    square = cut_square(image, hand.square, size_px)
    scale = np.array(hand.outline.shape[::-1]) / image.shape[1::-1]
    corners = (hand.square.corners + 0.5) * scale - 0.5
    on_outline = Square(corners, hand.square.rotation_deg, hand.square.side_px * float(scale[0]))
    skin = cut_square(hand.outline * np.uint8(255), on_outline, size_px) > 127
    return square, skin & _inside(image.shape[:2], hand.square, size_px)


def _as_hand(found: Search, shape: tuple[int, int]) -> Hand:
    gaps, middle, left = found.last.points[:3], found.last.points[3], found.last.found.left
    pose = pose_of(gaps, middle)
    told: Literal["left", "right"] = "left" if left > 0.5 else "right"
    return Hand(
        gaps=gaps,
        pose=pose,
        square=square_below(gaps, middle if pose < PARALLEL else None),
        hand=None if abs(left - 0.5) < _UNTOLD else told,
        certainty=found.certainty,
        outline=_outline(found.last, shape),
    )


def _outline(closest: Look, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Moves the skin of a view to a smaller image of the whole image's extent, uint8 [h, w]."""
    scale = min(OUTLINE_PX / max(shape), 1)
    height, width = (max(round(side * scale), 1) for side in shape)
    grid = closest.found.skin.shape[0]
    corners = (closest.view.corners + 0.5) * (width / shape[1], height / shape[0]) - 0.5
    edge = np.array([(0, 0), (grid, 0), (grid, grid)], np.float32) - 0.5
    matrix = cv2.getAffineTransform(edge, corners[:3].astype(np.float32))
    skin = cv2.warpAffine(closest.found.skin, matrix, (width, height))
    return (np.asarray(skin) > 0.5).astype(np.uint8)


def _inside(shape: tuple[int, int], square: Square, size_px: int) -> NDArray[np.bool_]:
    """Tells which pixels of the cut square lie inside the image."""
    if (square.corners > -0.5).all() and (square.corners < np.array(shape[::-1]) - 0.5).all():
        return np.ones((size_px, size_px), np.bool_)
    steps = (np.arange(size_px) + 0.5) / size_px
    first, right, _, left = square.corners
    places = first + steps[None, :, None] * (right - first) + steps[:, None, None] * (left - first)
    return ((places > -0.5) & (places < np.array(shape[::-1]) - 0.5)).all(axis=2)
