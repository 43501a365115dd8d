"""The similarity of two vein maps: the agreement of their signs where the palms overlap.

The probe is laid over the template at every shift of a few places. A similarity is

    (1 - 2 d) sqrt(o / n)

where o of a map's n places are usable in both maps and d is the share of differing signs among
them. At full overlap it is 1 for equal maps, about 0 for unrelated ones, -1 for opposite ones, and
it grows with the correlation of the values. The root makes the similarities of unrelated maps vary
equally much whatever they have in common: the mean of o random signs varies as 1 / sqrt(o), as in
J. Daugman, "Probing the uniqueness and randomness of IrisCodes", Proc. IEEE 94 (2006). The best
shift counts, because no two regions of interest are cut out at exactly the same place: D. Zhang,
W.-K. Kong, J. You and M. Wong, "Online palmprint identification", IEEE TPAMI 25 (2003).

Signs at places that are not usable are filled so that they agree with the other map as often as
chance would, in half of the channels on average. This takes a third of the time of leaving these
places out.
"""

from dataclasses import dataclass
from math import gcd
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.matching.hamming import hamming
from app.matching.maps import Bools, Floats, MapShape, Signs, VeinMaps

SHIFT = 3
"""Largest shift in places of a map of 28 x 28: 11 % of the palm's region of interest."""

COARSE_SHIFT = 2
"""Largest shift in places of a coarse map: 14 % of the palm's region of interest."""

MAPS_AT_ONCE = 16
"""Maps that are packed at once: their float32 values stay in the processor's cache."""

MIN_OVERLAP = 0.6
"""Least share of usable places among those that overlap at the largest shift, of both maps."""

NO_SIMILARITY = -1.0
"""The similarity of two maps whose usable places overlap too little."""

Bytes = NDArray[np.uint8]
Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Codes:
    """Maps as packed bits.

    Attributes:
        bits: uint8 [T, C * V], for each channel a bit for each place: 1 if its value is positive.
        places: uint8 [T, V], a bit for each place: 1 if it is usable.
        whole: bool [T], the maps whose places are all usable.
    """

    bits: Bytes
    places: Bytes
    whole: Bools

    @classmethod
    def of(cls, positive: Bools, usable: Bools) -> Self:
        """Packs maps bool [T, C, S, S] and [T, S, S]."""
        count, channels, side, _ = positive.shape
        flat = usable.reshape(count, side * side)
        planes = np.packbits(positive.reshape(count, channels, side * side), axis=2)
        return cls(
            planes.reshape(count, channels * planes.shape[2]),
            np.packbits(flat, axis=1),
            np.asarray(flat.all(axis=1)),
        )

    def __len__(self) -> int:
        """Returns T."""
        return len(self.bits)

    def __getitem__(self, rows: slice | list[int] | NDArray[np.integer] | Bools) -> "Codes":
        """Returns some of the maps."""
        return Codes(self.bits[rows], self.places[rows], self.whole[rows])


def template_codes(signs: Signs) -> Codes:
    """Packs each of T maps."""
    return Codes.of(_filled(signs, every=2), signs.usable)


def encode(maps: VeinMaps, mean: Floats | None) -> Codes:
    """Packs T maps minus a mean map, in little memory."""
    parts = [
        template_codes(Signs.of(maps[start : start + MAPS_AT_ONCE], mean))
        for start in range(0, max(len(maps), 1), MAPS_AT_ONCE)
    ]
    return Codes(
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.whole for part in parts]),
    )


def probe_codes(signs: Signs, shift: int = SHIFT) -> Codes:
    """Packs one map at every shift; places that come in from outside are not usable.

    Args:
        signs: one map.
        shift: largest shift, in places.

    Returns:
        (2 shift + 1)² maps, in the order of the shifts down, then right.
    """
    side, channels = signs.shape
    inside = np.s_[..., shift : shift + side, shift : shift + side]
    planes = np.zeros((channels + 1, side + 2 * shift, side + 2 * shift), np.bool_)
    planes[:channels] = _half(channels, every=1)[:, None, None]
    planes[:channels][inside] = _filled(signs, every=1)[0]
    planes[channels][inside] = signs.usable[0]
    packed = _pack_windows(planes, side)
    packed = packed.reshape(-1, channels + 1, packed.shape[3])
    places = np.ascontiguousarray(packed[:, channels])
    bits = packed[:, :channels].reshape(len(packed), -1)
    return Codes(bits, places, _ones(places) == side**2)


def _pack_windows(planes: Bools, side: int) -> Bytes:
    """Packs every window of `side` x `side` places of planes bool [P, E, E].

    Windows that lie below each other share their rows. So the rows of all are packed once for each
    column, and again for each row at which a window's first bit does not start a byte.

    Returns:
        uint8 [E - side + 1, E - side + 1, P, V]: by row and column of the window's first place.
    """
    count, extent, _ = planes.shape
    shifts, size = extent - side + 1, -(-(side**2) // 8)
    columns = np.stack([planes[:, :, first : first + side] for first in range(shifts)])
    found = np.empty((shifts, shifts, count, size), np.uint8)
    period = 8 // gcd(side, 8)  # rows after which a row starts a byte again
    for first in range(min(period, shifts)):
        rows = columns[:, :, first:].reshape(shifts, count, -1)
        packed = np.packbits(rows, axis=2)
        for down in range(first, shifts, period):
            start = (down - first) * side // 8
            found[down] = packed[:, :, start : start + size]
    found[..., -1] &= np.uint8(0xFF << (8 * size - side**2) & 0xFF)  # of the next row
    return found


def _filled(signs: Signs, every: int) -> Bools:
    """Returns signs as bool [T, C, S, S], with ones in half of the channels of unusable places.

    Args:
        signs: T maps.
        every: 1 sets every other channel, 2 every other pair of channels. The two agree in half of
            the channels with each other too.
    """
    filled = signs.positive.copy()
    filled[~signs.usable] = _half(signs.shape.channels, every)
    return np.ascontiguousarray(filled.transpose(0, 3, 1, 2))


def _half(channels: int, every: int) -> Bools:
    """Returns the signs bool [C] at unusable places; see `_filled`."""
    return np.arange(channels) // every % 2 == 0


def similarities(probe: Codes, templates: Codes, shape: MapShape, shift: int = SHIFT) -> Floats:
    """Returns the similarity of one probe to every template, at the best shift.

    Args:
        probe: the probe at every shift, from `probe_codes`.
        templates: T maps, from `template_codes`.
        shape: shape of the maps.
        shift: the largest shift.

    Returns:
        float32 [T] in [-1, 1]; `NO_SIMILARITY` where no shift has enough usable places.
    """
    return _by_shift(probe, templates, shape, shift).max(axis=0)


def _by_shift(probe: Codes, templates: Codes, shape: MapShape, shift: int) -> Floats:
    """Returns the similarities [Q, T] at Q shifts; see `similarities`."""
    places = shape.side**2
    least = MIN_OVERLAP * (shape.side - shift) ** 2
    differing = hamming(probe.bits, templates.bits).astype(np.float32, order="C")
    differing *= np.float32(2 / (places * shape.channels))
    agreeing = np.subtract(np.float32(1), differing, out=differing)
    overlap = _ones(probe.places)[:, None]
    partial = np.flatnonzero(~templates.whole)
    if len(partial):
        some = templates.places[partial]
        common = (overlap + _ones(some) - hamming(probe.places, some)) // 2
        of_partial = _weigh(agreeing[:, partial], common, places, least)
        found = _weigh(agreeing, overlap, places, least)
        found[:, partial] = of_partial
        return found
    return _weigh(agreeing, overlap, places, least)


def _weigh(agreeing: Floats, overlap: Counts, places: int, least: float) -> Floats:
    """Returns similarities from 1 - 2 x the share of all signs that differ.

    Args:
        agreeing: float32 [Q, T]; overwritten.
        overlap: uint32 [Q, T], or [Q, 1] if it is the same for all templates: the common places.
        places: number of places of a map.
        least: number of common places below which there is no similarity.
    """
    weights = np.sqrt(np.float32(places) / np.maximum(overlap, 1).astype(np.float32))
    enough = overlap >= least
    found = np.multiply(agreeing, weights, out=agreeing)
    return found if enough.all() else np.where(enough, found, np.float32(NO_SIMILARITY))


def agreement(probe: Signs, templates: Codes) -> Floats:
    """Returns where one probe agrees with the most similar of several templates.

    Args:
        probe: one map.
        templates: at least one, from `template_codes`.

    Returns:
        float32 [S, S]: at each place of the probe that lies over the template at the best shift,
        the share of channels with the same sign, 0 to 1; NaN elsewhere and at places that are
        unusable in either.
    """
    side, channels = probe.shape
    by_shift = _by_shift(probe_codes(probe), templates, probe.shape, SHIFT)
    at, best = np.unravel_index(by_shift.argmax(), by_shift.shape)
    planes = templates.bits[best].reshape(channels, -1)
    positive = np.unpackbits(planes, axis=1, count=side**2).astype(bool)
    usable = np.unpackbits(templates.places[best], count=side**2).astype(bool)
    # The template in a frame as wide as the largest shift: the probe lies on it at `at`.
    theirs = np.pad(
        positive.reshape(channels, side, side), ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT))
    )
    seen = np.pad(usable.reshape(side, side), SHIFT)
    down, right = divmod(int(at), 2 * SHIFT + 1)
    cut = np.s_[..., 2 * SHIFT - down :, 2 * SHIFT - right :]
    theirs, seen = theirs[cut][..., :side, :side], seen[cut][..., :side, :side]
    same = (probe.positive[0] == theirs.transpose(1, 2, 0)).mean(axis=-1)
    return np.where(seen & probe.usable[0], same, np.nan).astype(np.float32)


def _ones(packed: Bytes) -> Counts:
    """Returns the number of ones in every row."""
    words = packed.view(np.uint64) if packed.shape[1] % 8 == 0 else packed
    return np.bitwise_count(words).sum(axis=1, dtype=np.uint32)
