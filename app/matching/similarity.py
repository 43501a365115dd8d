"""The similarity of two vein maps: the agreement of their signs where the palms overlap.

The template's central window is laid over the probe at every shift of a few places. A similarity
is 1 - 2 d, where d is the share of differing signs among the places that are usable in both: 1 for
equal maps, about 0 for unrelated ones, -1 for opposite ones. It grows with the correlation of the
values. The best shift counts, because no two regions of interest are cut out at exactly the same
place: D. Zhang, W.-K. Kong, J. You and M. Wong, "Online palmprint identification", IEEE TPAMI 25
(2003). Several templates of a subject: the best one counts. Several probes: the mean counts.
"""

from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.matching.hamming import hamming
from app.matching.maps import Bools, Floats, MapShape, Signs

SHIFT = 2
"""Largest shift in places of a map of 28 x 28: 7 % of the palm's region of interest."""

COARSE_SHIFT = 1
"""Largest shift in places of a coarse map, the same 7 %."""

MIN_OVERLAP = 0.6
"""Least share of the window's places that must be usable in both maps."""

NO_SCORE = -1.0
"""The similarity of two maps whose usable places overlap too little."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Codes:
    """Windows of maps as packed bits.

    Attributes:
        bits: uint8 [T, K], the signs of each window; 0 at unusable places.
        places: uint8 [T, V], a bit for each place of each window: 1 if it is usable.
        whole: bool [T], the windows whose places are all usable.
    """

    bits: Bytes
    places: Bytes
    whole: Bools

    @classmethod
    def of(cls, positive: Bools, usable: Bools) -> Self:
        """Packs windows bool [T, W, W, C] and [T, W, W]."""
        flat = usable.reshape(len(usable), np.prod(usable.shape[1:]))
        signs = positive.reshape(len(positive), np.prod(positive.shape[1:]))
        return cls(
            np.packbits(signs, axis=1),
            np.packbits(flat, axis=1),
            np.asarray(flat.all(axis=1)),
        )

    def __len__(self) -> int:
        """Returns T."""
        return len(self.bits)

    def __getitem__(self, rows: slice | list[int] | NDArray[np.integer] | Bools) -> "Codes":
        """Returns some of the windows."""
        return Codes(self.bits[rows], self.places[rows], self.whole[rows])


def window_shape(shape: MapShape, shift: int = SHIFT) -> tuple[int, int]:
    """Returns the places and channels of a window of maps of a shape."""
    return (shape.side - 2 * shift) ** 2, shape.channels


def template_codes(signs: Signs, shift: int = SHIFT) -> Codes:
    """Packs the central window of each of T maps, smaller than the map by `shift` on every side."""
    side = signs.usable.shape[1]
    centre = slice(shift, side - shift)
    return Codes.of(signs.positive[:, centre, centre], signs.usable[:, centre, centre])


def probe_codes(signs: Signs, shift: int = SHIFT) -> Codes:
    """Packs the windows of one map at every shift.

    Args:
        signs: one map.
        shift: largest shift, in places.

    Returns:
        (2 shift + 1)² windows.
    """
    side = signs.usable.shape[1] - 2 * shift
    cuts = [
        np.s_[0, r : r + side, c : c + side] for r, c in product(range(2 * shift + 1), repeat=2)
    ]
    return Codes.of(
        np.stack([signs.positive[cut] for cut in cuts]),
        np.stack([signs.usable[cut] for cut in cuts]),
    )


def similarities(probe: Codes, templates: Codes, shape: tuple[int, int]) -> Floats:
    """Returns the similarity of one probe to every template, at the best shift.

    Args:
        probe: its windows, from `probe_codes`.
        templates: T windows, from `template_codes`.
        shape: places and channels of a window.

    Returns:
        float32 [T] in [-1, 1]; `NO_SCORE` where no shift has enough usable places.
    """
    places, channels = shape
    # Unusable places hold zeros: the ones that the other map has there are not counted.
    differing = hamming(templates.bits, probe.bits).astype(np.int64)
    overlap = np.broadcast_to(_ones(probe.places), differing.shape)
    partial = np.flatnonzero(~probe.whole)
    if len(partial):
        masks = _spread(probe.places[partial], places, channels)
        differing[:, partial] -= _ones_outside(templates.bits, masks)
    partial = np.flatnonzero(~templates.whole)
    if len(partial):
        masks = _spread(templates.places[partial], places, channels)
        differing[partial] -= _ones_outside(probe.bits, masks).T
        overlap = overlap.copy()
        overlap[partial] = _common(templates.places[partial], probe.places)
    found = 1 - 2 * differing / np.maximum(overlap * channels, 1)
    found[overlap < MIN_OVERLAP * places] = NO_SCORE
    return found.max(axis=1, initial=NO_SCORE).astype(np.float32)


def agreement(probe: Signs, templates: Codes) -> Floats:
    """Returns where one probe agrees with the most similar of several templates.

    Args:
        probe: one map.
        templates: at least one, from `template_codes`.

    Returns:
        float32 [S, S]: at each place of the probe that lies under the template's window at the best
        shift, the share of channels with the same sign, 0 to 1; NaN elsewhere and at places that
        are unusable in either.
    """
    side, channels = probe.positive.shape[1], probe.positive.shape[3]
    window = side - 2 * SHIFT
    shape = (window**2, channels)
    windows = probe_codes(probe)
    best = int(similarities(windows, templates, shape).argmax())
    template = templates[[best]]
    scores = [float(similarities(windows[[i]], template, shape)[0]) for i in range(len(windows))]
    down, right = divmod(int(np.argmax(scores)), 2 * SHIFT + 1)
    cut = np.s_[down : down + window, right : right + window]
    positive = np.unpackbits(template.bits, count=window**2 * channels).astype(bool)
    usable = np.unpackbits(template.places, count=window**2).astype(bool).reshape(window, window)
    same = (probe.positive[0][cut] == positive.reshape(window, window, channels)).mean(axis=-1)
    found = np.full((side, side), np.nan, np.float32)
    found[cut] = np.where(usable & probe.usable[0][cut], same, np.nan)
    return found


def _spread(packed: Bytes, places: int, channels: int) -> Bytes:
    """Returns the bits of places [T, V] once for every channel, [T, K]."""
    bits = np.unpackbits(packed, axis=1, count=places)
    return np.packbits(np.repeat(bits, channels, axis=1), axis=1)


def _ones(packed: Bytes) -> NDArray[np.int64]:
    """Returns the number of ones in every row."""
    words = packed.view(np.uint64) if packed.shape[1] % 8 == 0 else packed
    return np.bitwise_count(words).sum(axis=1, dtype=np.int64)


def _common(rows: Bytes, others: Bytes) -> NDArray[np.int64]:
    """Returns the number of ones that every two rows have in common, [R, Q]."""
    return (_ones(rows)[:, None] + _ones(others) - hamming(rows, others)) // 2


def _ones_outside(rows: Bytes, masks: Bytes) -> NDArray[np.int64]:
    """Returns the number of ones of every row that no mask's ones cover, [R, Q]."""
    return (_ones(rows)[:, None] - _ones(masks) + hamming(rows, masks)) // 2
