"""Finds a hand in a photograph by its outline, without a net.

The palm is assumed to face the camera: the outline alone does not tell the palm from the back.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.crops import shows_skin_only
from app.palm.gap_triples import find_triples
from app.palm.hand import Hand, Region
from app.palm.seams import find_seams
from app.palm.silhouettes import silhouettes
from app.palm.square import square_below, whole_square
from app.palm.valleys import find_valleys

SEARCH_PX = 320
"""Longer side of the image in which outlines are found."""

FINE_PX = 640
"""Longer side of the image in which gaps are followed."""

LEAST_CERTAINTY = 0.982
"""Certainty below which no hand is reported. On drawn hands, gaps with less were often wrong."""

_POSSIBLE = 0.75
"""Certainty beyond which an image is no crop. The largest of 232 crops was 0.71."""

_SURE = 4.5  # score of gaps beyond which no other mask is tried
_TOO_DEEP = 0.027
"""By how much gaps are found too near to the wrist, in distances of the outer gaps: the mean of 140
drawn hands of the style for tuning."""
_MAX_MASKS = 24

Image = NDArray[np.uint8]


def locate(image: Image) -> Region | None:
    """Locates the palm in an image of a whole hand, or in one that shows nothing but a palm.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].

    Returns:
        The region of interest; None if neither a hand nor a crop is recognised.
    """
    hand = find_hand(image, least_certainty=0)
    if hand is not None and hand.certainty >= LEAST_CERTAINTY:
        return Region("hand", hand.square, hand)
    if hand is not None and hand.certainty > _POSSIBLE:
        return None
    if shows_skin_only(image):
        return Region("crop", whole_square(*image.shape[:2]), None)
    return None


def find_hand(image: Image, least_certainty: float = LEAST_CERTAINTY) -> Hand | None:
    """Finds the hand in an image.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3]; any rotation, either hand.
        least_certainty: certainty below which None is returned, 0 to 1.
    """
    fine = _shrunk(image, FINE_PX)
    small = _shrunk(fine, SEARCH_PX)
    best = _best_gaps(small, _grey(small), _grey(fine))
    if best is None:
        return None
    score, small_gaps, outline = best
    certainty = float(1 / (1 + np.exp(-score)))
    if certainty < least_certainty:
        return None
    scale = np.array(image.shape[1::-1]) / small.shape[1::-1]
    chord = small_gaps[2] - small_gaps[0]
    raised = small_gaps + _TOO_DEEP * np.array([chord[1], -chord[0]])
    gaps = (raised + 0.5) * scale - 0.5
    square = square_below(gaps)
    return Hand(gaps, square, _which_hand(small_gaps, outline), certainty, outline)


def _best_gaps(
    small: Image, grey: Image, fine: Image
) -> tuple[float, NDArray[np.float64], NDArray[np.uint8]] | None:
    """Returns the score of the likeliest gaps, the gaps in px of `small`, and their outline."""
    seams = find_seams(grey)
    best: tuple[float, NDArray[np.float64], NDArray[np.uint8]] | None = None
    for number, mask in enumerate(silhouettes(small)):
        for valleys in find_valleys(mask, seams):
            triples = find_triples(valleys, mask & (1 - seams.mask), grey, fine)
            if triples is None:
                continue
            scores = triples.scores()
            first = int(scores.argmax())
            if best is None or scores[first] > best[0]:
                best = float(scores[first]), triples.gaps[first], valleys.filled
        if (best is not None and best[0] > _SURE) or number == _MAX_MASKS:
            break
    return best


def _which_hand(
    gaps: NDArray[np.float64], outline: NDArray[np.uint8]
) -> Literal["left", "right"] | None:
    """Tells the hand by the side on which there is more skin beside the palm: the thumb's."""
    chord = gaps[2] - gaps[0]
    up = np.array([chord[1], -chord[0]])
    across, down = np.meshgrid(np.linspace(0.85, 1.6, 12), np.linspace(0.2, 1.6, 16))
    shares: list[float] = []
    for side in (-1, 1):
        places = (gaps[0] + gaps[2]) / 2 + side * across[..., None] * chord - down[..., None] * up
        x, y = np.rint(places).astype(int).reshape(-1, 2).T
        within = (x >= 0) & (x < outline.shape[1]) & (y >= 0) & (y < outline.shape[0])
        shares.append(float(outline[y[within], x[within]].mean()) if within.any() else 0.0)
    if abs(shares[0] - shares[1]) < 0.04:
        return None
    return "left" if shares[0] > shares[1] else "right"


def _shrunk(image: Image, longer_px: int) -> Image:
    """Returns the image with a longer side of at most `longer_px`."""
    scale = longer_px / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _grey(image: Image) -> Image:
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
