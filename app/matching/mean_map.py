"""The mean map of a site's subjects: what all palms share before one camera.

All palms have the same arch and the same shadow of the thumb's ball, so impostors are alike by
more than chance, and by how much depends on the camera. The mean over the subjects of a site shows
what they share; it is subtracted from every map before the signs are compared.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats, MapShape, VeinMaps

MIN_SUBJECTS = 20
"""Below this number of subjects no mean is subtracted: it would show these subjects' own veins."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MapSum:
    """Sums over subjects, from which one subject can be taken out again.

    Attributes:
        total: float64 [S, S, C], sum of the subjects' mean maps, in deviations.
        squares: float64 [C], sum over subjects of the mean square of each channel.
        subjects: number of subjects.
    """

    total: Doubles
    squares: Doubles
    subjects: int

    @classmethod
    def empty(cls, shape: MapShape) -> Self:
        """Returns the sum over nobody."""
        side, channels = shape
        return cls(np.zeros((side, side, channels)), np.zeros(channels), 0)

    @classmethod
    def of(cls, maps: VeinMaps) -> Self:
        """Returns one subject's share: the mean over its maps, at least one."""
        mean = maps.deviations.mean(axis=0, dtype=np.float64)
        return cls(mean, np.square(mean).mean(axis=(0, 1)), 1)

    @classmethod
    def from_bytes(cls, stored: bytes, subjects: int, shape: MapShape) -> Self:
        """Reads a sum as `to_bytes` wrote it.

        Raises:
            ValueError: if it has another size, or holds values that are not finite.
        """
        side, channels = shape
        needed = (side * side + 1) * channels
        if len(stored) != 8 * needed:
            raise ValueError(f"a sum of maps has {8 * needed} bytes, not {len(stored)}")
        values = np.frombuffer(stored, "<f8").astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a sum of maps holds values that are not finite")
        total = values[:-channels].reshape(side, side, channels)
        return cls(total, values[-channels:], subjects)

    def to_bytes(self) -> bytes:
        """Returns the sums as bytes, without the number of subjects."""
        return np.append(self.total.ravel(), self.squares).astype("<f8").tobytes()

    def __add__(self, other: Self) -> Self:
        """Returns the sum over the subjects of both."""
        return type(self)(
            self.total + other.total,
            self.squares + other.squares,
            self.subjects + other.subjects,
        )

    def __sub__(self, other: Self) -> Self:
        """Returns the sum without the subjects of `other`."""
        return type(self)(
            self.total - other.total,
            self.squares - other.squares,
            self.subjects - other.subjects,
        )

    def mean(self, least: int = MIN_SUBJECTS) -> Floats | None:
        """Returns the mean map to subtract, float32 [S, S, C]; None for less than `least` subjects.

        The mean of n subjects also holds a share 1 / n of what distinguishes them. Subtracted as it
        is, it would make everybody else's maps more alike. So each channel is shrunk towards 0 by
        the share of its power that n different subjects explain: W. James and C. Stein, "Estimation
        with quadratic loss" (1961).
        """
        if self.subjects < max(least, 2):
            return None
        mean = self.total / self.subjects
        power = np.square(mean).mean(axis=(0, 1))
        between = (self.squares / self.subjects - power) / (self.subjects - 1)
        kept = np.clip(1 - between / np.maximum(power, 1e-12), 0, 1)
        return (mean * kept).astype(np.float32)
