"""What a reader of a gallery's changes gets, so that its index follows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.gallery.subject import Subject


class Position(NamedTuple):
    """How far a reader has read the changes of a gallery, in order.

    Attributes:
        revision: revision of the last change that was read.
        number: number of the last subject that was read of those with that revision.
    """

    revision: int
    number: int


LAST_NUMBER = 2**63 - 1
"""In a position, that all changes of its revision were read."""

START = Position(0, 0)
"""The position before the first change."""


@dataclass(frozen=True, slots=True)
class StoredMaps:
    """Maps of one net, as they are stored.

    Attributes:
        owners: int64 [T], rising; each map's subject, as an index.
        maps: T maps as `VeinMaps.to_bytes` wrote them, each subject's in the order of enrolment.
        cameras: the camera that took each map's image; "" for the unnamed one.
    """

    owners: NDArray[np.int64]
    maps: tuple[bytes, ...]
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Subjects that have changed, as they are now, and subjects that were erased.

    Attributes:
        subjects: the changed subjects.
        numbers: the number of each. A number is never used again, an id may be.
        maps: for each format all maps of these subjects.
        removed: numbers of erased subjects; the reader may never have seen some.
        summed: by camera, the least number of subjects in the formats' sums of maps.
        position: where to go on reading.
        complete: whether these are the last changes at present.
    """

    subjects: tuple[Subject, ...]
    numbers: tuple[int, ...]
    maps: tuple[StoredMaps, ...]
    removed: tuple[int, ...]
    summed: Mapping[str, int]
    position: Position
    complete: bool
