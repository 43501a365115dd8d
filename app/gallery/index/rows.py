"""The templates of one net in memory, one row each, ready to be compared."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import UNSCALED, Floats, MapShape, Signs, VeinMaps
from app.matching.similarity import MAPS_AT_ONCE, MIN_OVERLAP, Codes, template_codes

FREE = -1
"""The owner of a row whose subject was erased."""

Bytes = NDArray[np.uint8]
Slots = NDArray[np.int32]


Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class RowsView:
    """The first T rows of a net. Rows appended later are not seen; erased ones lose their owner.

    Attributes:
        codes: T maps.
        scales: float32 [T, 3], see `VeinMaps.scales`.
        coarse: uint8 [T, K], the signs of each coarse map; K is 0 if the net proposes nobody.
        coarse_share: float32 [T], share of the coarse map's places that are usable, at least
            `MIN_OVERLAP`.
        owners: int32 [T], each row's slot, or `FREE`.
        cameras: int16 [T], the camera whose mean map was subtracted; see `Cameras.number_of`.
    """

    codes: Codes
    scales: Floats
    coarse: Bytes
    coarse_share: Floats
    owners: Slots
    cameras: NDArray[np.int16]

    def __len__(self) -> int:
        """Returns T."""
        return len(self.owners)

    def __getitem__(self, rows: slice) -> "RowsView":
        """Returns some of the rows, in the same memory."""
        return RowsView(
            self.codes[rows],
            self.scales[rows],
            self.coarse[rows],
            self.coarse_share[rows],
            self.owners[rows],
            self.cameras[rows],
        )


class Rows:
    """Rows in arrays that grow at the end; one caller at a time may change them.

    A view that was taken before stays valid while rows are appended or erased.
    """

    def __init__(self, shape: MapShape, *, coarse: bool) -> None:
        """Creates no rows.

        Args:
            shape: the maps' shape.
            coarse: whether to keep coarse maps too.
        """
        self._has_coarse = coarse
        self._used = 0
        self._arrays = self._encode(VeinMaps.empty(shape), None, np.empty(0, np.int32), 0)
        self.erased = 0

    def __len__(self) -> int:
        """Returns the number of rows, with the erased ones."""
        return self._used

    def append(self, maps: VeinMaps, mean: Floats | None, owners: Slots, camera: int = 0) -> None:
        """Adds a row for each map.

        Args:
            maps: T maps.
            mean: the mean map to subtract; None for none.
            owners: int32 [T], their slots.
            camera: see `RowsView.cameras`.
        """
        self._reserve(self._used + len(maps))
        for first in range(0, len(maps), MAPS_AT_ONCE):
            some = slice(first, first + MAPS_AT_ONCE)
            added = self._encode(maps[some], mean, owners[some], camera)
            _copy(added, self._arrays[self._used : self._used + len(added)])
            self._used += len(added)

    def erase(self, slots: Slots) -> None:
        """Overwrites the rows of some slots."""
        own = self.view()
        rows = np.flatnonzero(np.isin(own.owners, slots))
        own.owners[rows] = FREE
        for array in (own.codes.bits, own.codes.places, own.coarse):
            array[rows] = 0
        own.codes.whole[rows] = True  # a map with unusable places takes longer to compare
        own.scales[rows] = UNSCALED
        own.coarse_share[rows] = 1
        self.erased += len(rows)

    def view(self) -> RowsView:
        """Returns the rows as they are now."""
        return self._arrays[: self._used]

    def _encode(self, maps: VeinMaps, mean: Floats | None, owners: Slots, camera: int) -> RowsView:
        codes, cameras = template_codes(Signs.of(maps, mean)), np.full(len(maps), camera, np.int16)
        if not self._has_coarse:
            no_bits = np.empty((len(maps), 0), np.uint8)
            whole = np.ones(len(maps), np.float32)
            return RowsView(codes, maps.scales, no_bits, whole, owners, cameras)
        signs = Signs.coarse(maps, mean)
        usable = signs.usable.mean(axis=(1, 2), dtype=np.float32)
        share = np.maximum(usable, np.float32(MIN_OVERLAP))
        return RowsView(codes, maps.scales, template_codes(signs).bits, share, owners, cameras)

    def _reserve(self, needed: int) -> None:
        """Replaces the arrays by larger ones if they are too small; views keep the old ones."""
        if needed <= len(self._arrays):
            return
        old, capacity = self._arrays, max(needed, len(self._arrays) * 3 // 2)
        bits, places, whole = old.codes.bits, old.codes.places, old.codes.whole
        self._arrays = RowsView(
            Codes(_enlarge(bits, capacity), _enlarge(places, capacity), _enlarge(whole, capacity)),
            _enlarge(old.scales, capacity),
            _enlarge(old.coarse, capacity),
            _enlarge(old.coarse_share, capacity),
            _enlarge(old.owners, capacity),
            _enlarge(old.cameras, capacity),
        )


def _copy(rows: RowsView, to: RowsView) -> None:
    to.codes.bits[:] = rows.codes.bits
    to.codes.places[:] = rows.codes.places
    to.codes.whole[:] = rows.codes.whole
    to.scales[:] = rows.scales
    to.coarse[:] = rows.coarse
    to.coarse_share[:] = rows.coarse_share
    to.owners[:] = rows.owners
    to.cameras[:] = rows.cameras


def _enlarge(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    larger = np.empty((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
