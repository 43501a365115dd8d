"""What the finder learns of a view, as one row of numbers. This module imports no Keras."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.landmarks import KINDS, LANDMARKS

STRIDE = 4
"""Px of a view for each place of the landmarks' grid."""

HAND, CROP, NOTHING = range(len(KINDS))

MIRRORED = (2, 1, 0, 3)
"""The landmark that each one becomes in a mirror."""

KIND_AT = 2 * len(LANDMARKS)
"""Column of the kind: an index of `KINDS`. The columns before it are the points."""

LEFT_AT = KIND_AT + 1
"""Column that is 1 for a left hand."""

DIRECTION_AT = LEFT_AT + 1
"""Column of the direction: an index of `app.palm.landmarks.DIRECTIONS`."""

SKIN_AT = DIRECTION_AT + 1
"""First column of the skin, row by row."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """A view and what it shows.

    Attributes:
        view: uint8 [S, S].
        mask: uint8 [S, S], 255 where skin is visible.
        points: float64 [4, 2], x and y in px of `app.palm.landmarks.LANDMARKS`; of any value
            unless the view shows a hand.
        kind: `HAND`, `CROP` or `NOTHING`.
        left: whether it is a left hand.
        direction: where a crop's fingers point, an index of `app.palm.landmarks.DIRECTIONS`.
    """

    view: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    points: NDArray[np.float64]
    kind: int
    left: bool = False
    direction: int = 0

    def mirrored(self) -> "Sample":
        """Returns the mirror image, in which a left hand is a right hand."""
        flipped = [self.view.shape[0] - 1, 0] + self.points * [-1, 1]
        view, mask = (np.ascontiguousarray(x[:, ::-1]) for x in (self.view, self.mask))
        return Sample(
            view, mask, flipped[list(MIRRORED)], self.kind, not self.left, -self.direction % 4
        )

    def turned(self) -> "Sample":
        """Returns the sample turned by 90 degrees, against the clock."""
        points = np.stack([self.points[:, 1], self.view.shape[0] - 1 - self.points[:, 0]], axis=1)
        view, mask = (np.ascontiguousarray(np.rot90(x)) for x in (self.view, self.mask))
        return Sample(view, mask, points, self.kind, self.left, (self.direction - 1) % 4)

    def target(self) -> Float32:
        """Returns what the net learns: points, kind, hand, direction and skin, float32 [T]."""
        places = self.view.shape[0] // STRIDE
        skin = cv2.resize(self.mask, (places, places), interpolation=cv2.INTER_AREA)
        head = [*self.points.ravel(), self.kind, self.left, self.direction]
        return np.concatenate([head, skin.ravel() / 255]).astype(np.float32)
