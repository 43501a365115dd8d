"""Finds the finger gaps in an image: the landmark net looks at all of it, then closer."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.landmarks import KINDS, Landmarks, Run, read_landmarks
from app.palm.square import Square, middle_below
from app.palm.views import close_view, from_view, look, look_at_all, whole_view

PALM_WIDTH = 84 / 38
"""Width of the palm in distances of the outer gaps: 84 mm, the mean of drawn palms."""

AGREED = 0.06
"""Greatest distance of the gaps of two looks, in palm widths, after which no other look follows: a
closer one would not find them better."""

_LEAST_HAND = 0.02
"""Probability of a hand in the whole image below which no closer look follows."""

_MOVED = (0.16, 0.08, 0.08)
"""For each closer look, of which there are no more, the distance from the look before, in palm
widths, that divides the certainty by e. The first look is at the whole image and less exact: a palm
has half the pixels in it."""

_OFF_CENTRE = 0.2
"""Distance of the palm's middle from the square's, in palm widths, that does the same."""

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an image found.

    Attributes:
        view: the part of the image that the net saw, in px of the image.
        points: float64 [4, 2] in px of the image, as `app.palm.landmarks.LANDMARKS`.
        found: the net's answer, in px of the view.
    """

    view: Square
    points: NDArray[np.float64]
    found: Landmarks

    def kind(self, name: str) -> float:
        """Returns the probability of one of `KINDS`."""
        return float(self.found.kind[KINDS.index(name)])


@dataclass(frozen=True, slots=True)
class Search:
    """The result of looking closer at an image.

    Attributes:
        last: the last look; the closest one if a hand was looked for.
        certainty: 0 to 1, that the gaps of the last look are right. 0 without a closer look.
    """

    last: Look
    certainty: float


class Finder:
    """Finds finger gaps by a landmark net. Calls are as thread-safe as the net's."""

    def __init__(self, run: Run, side_px: int, least_certainty: float) -> None:
        """Creates the finder.

        Args:
            run: runs the net.
            side_px: side of the views that the net takes.
            least_certainty: certainty below which no hand is reported, 0 to 1.
        """
        self._run = run
        self._side_px = side_px
        self.least_certainty = least_certainty

    def glance(self, grey: Image) -> Look:
        """Looks at all of an image uint8 [H, W]."""
        return self._look(grey, whole_view(*grey.shape), look_at_all(grey, self._side_px))

    def search(self, grey: Image, whole: Look) -> Search:
        """Looks closer and closer at an image uint8 [H, W], until two looks agree.

        Args:
            grey: the image.
            whole: the look at all of it, from `glance`.
        """
        if whole.kind("hand") < _LEAST_HAND:
            return Search(whole, 0.0)
        last, doubt = whole, np.inf
        for allowed in _MOVED:
            if _gap_distance(last) < 2:
                return Search(last, 0.0)
            view = close_view(last.points[:3])
            closer = self._look(grey, view, look(grey, view, self._side_px))
            moved, last = _distance(last, closer), closer
            doubt = (moved / allowed) ** 2
            if moved < AGREED:
                break
        return Search(last, _certainty(last, doubt))

    def _look(self, grey: Image, view: Square, pixels: Image) -> Look:
        found = read_landmarks(pixels, self._run)
        return Look(view, from_view(found.points, view, self._side_px), found)


def to_grey(image: Image) -> Image:
    """Returns uint8 [H, W] of an image uint8 [H, W] or RGB [H, W, 3]."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _gap_distance(one: Look) -> float:
    return float(np.hypot(*(one.points[2] - one.points[0])))


def _distance(before: Look, after: Look) -> float:
    """Returns how far apart the gaps of two looks are, in palm widths: the largest of three."""
    apart = np.hypot(*(after.points[:3] - before.points[:3]).T).max()
    return float(apart) / max(PALM_WIDTH * _gap_distance(after), 1e-9)


def _certainty(last: Look, doubt: float) -> float:
    """Returns the certainty of the last look's gaps: a product of four factors, each 0 to 1.

    Args:
        last: the last look.
        doubt: 0 or more, how little it agrees with the look before.
    """
    off = np.hypot(*(last.points[3] - middle_below(last.points[:3]))) / max(
        PALM_WIDTH * _gap_distance(last), 1e-9
    )
    factors = (
        last.kind("hand"),
        last.found.certainty.min(),
        np.exp(-doubt),
        np.exp(-((off / _OFF_CENTRE) ** 2)),
    )
    return float(np.prod(factors))
