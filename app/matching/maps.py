"""Vein maps: what a net makes of a palm, as values that are stored and as signs that are compared.

A map is a grid of S x S places with C channels. The net has standardised each channel over the
usable places of its image, so a value counts standard deviations. Only its sign is compared, as in
J. Daugman, "High confidence visual recognition of persons by a test of statistical independence",
IEEE TPAMI 15 (1993). A map keeps the layout of the veins: treat it as an image of the palm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Int8s = NDArray[np.int8]

STEPS = 16
"""Steps of a stored value in one standard deviation. int8 then reaches to 7.9 deviations."""

UNSCALED = np.array([0, 1, 0], np.float32)
"""The scale of a map that was not compared with a cohort: its scores are similarities."""

SCALE_BYTES = 12  # of three float32 values


class MapShape(NamedTuple):
    """The shape of a net's map: `side` x `side` places with `channels` channels."""

    side: int
    channels: int

    @property
    def stored_bytes(self) -> int:
        """Size of one stored map: a byte for each value, a bit for each place, and the scale."""
        return self.unscaled_bytes + SCALE_BYTES

    @property
    def unscaled_bytes(self) -> int:
        """Size of one map that an earlier release stored, without the scale."""
        return self.side**2 * self.channels + -(-(self.side**2) // 8)

    def may_be_stored(self, size: int) -> bool:
        """Returns whether a stored map may have so many bytes."""
        return size in (self.stored_bytes, self.unscaled_bytes)


@dataclass(frozen=True, slots=True)
class VeinMaps:
    """The maps of T images by one net.

    Attributes:
        values: int8 [T, S, S, C], standard deviations times `STEPS`; 0 at unusable places.
        usable: bool [T, S, S], the places that are neither saturated nor specular.
        scales: float32 [T, 3], mean and standard deviation of each map's similarities to a cohort
            of other palms, and the cohort's mark (`app.matching.scores`); by default `UNSCALED`.

    Raises:
        ValueError: if there are scales, but not one for each map.
    """

    values: Int8s
    usable: Bools
    scales: Floats = field(default_factory=lambda: np.empty((0, 3), np.float32))

    def __post_init__(self) -> None:
        """Sets the default."""
        if len(self.scales) not in (0, len(self.values)):
            raise ValueError(f"{len(self.values)} maps cannot have {len(self.scales)} scales")
        if len(self.scales) < len(self.values):
            unscaled = np.tile(UNSCALED, (len(self.values), 1))
            object.__setattr__(self, "scales", unscaled)

    @classmethod
    def of(cls, maps: Floats, masks: Floats) -> Self:
        """Rounds a net's outputs.

        Args:
            maps: float32 [T, S, S, C], standardised.
            masks: float32 [T, S, S], 1 at usable places and 0 at others.

        Raises:
            ArithmeticError: if a value is not finite; every answer would be wrong.
        """
        if not (np.isfinite(maps).all() and np.isfinite(masks).all()):
            raise ArithmeticError("the net computed a map with values that are not finite")
        usable = masks > 0.5
        steps = np.clip(np.rint(maps * STEPS), -127, 127) * usable[..., None]
        return cls(steps.astype(np.int8), usable)

    @classmethod
    def empty(cls, shape: MapShape) -> Self:
        """Returns no maps of a shape."""
        side, channels = shape
        return cls(np.zeros((0, side, side, channels), np.int8), np.zeros((0, side, side), bool))

    @classmethod
    def from_bytes(cls, stored: Sequence[bytes], shape: MapShape) -> Self:
        """Reads maps as `to_bytes` wrote them.

        Args:
            stored: T stored maps.
            shape: their shape.

        Maps of an earlier release, or with a damaged scale, come out unscaled.

        Raises:
            ValueError: if one has another size.
        """
        side, channels = shape
        unscaled = UNSCALED.astype("<f4").tobytes()
        for one in stored:
            if not shape.may_be_stored(len(one)):
                raise ValueError(
                    f"a stored map of {side}x{side}x{channels} has {shape.stored_bytes} bytes, not "
                    f"{len(one)}"
                )
        whole = [one if len(one) == shape.stored_bytes else one + unscaled for one in stored]
        rows = np.frombuffer(b"".join(whole), np.uint8).reshape(len(stored), shape.stored_bytes)
        split = side * side * channels
        values = rows[:, :split].view(np.int8).reshape(-1, side, side, channels)
        places = rows[:, split : shape.unscaled_bytes]
        usable = np.unpackbits(places, axis=1, count=side * side).astype(bool)
        stored_scales = np.frombuffer(rows[:, shape.unscaled_bytes :].tobytes(), "<f4")
        scales = stored_scales.astype(np.float32).reshape(-1, 3)
        damaged = ~(np.isfinite(scales).all(axis=1) & (scales[:, 1] > 0))
        scales[damaged] = UNSCALED  # a score that is not finite would spoil everybody's
        return cls(values, usable.reshape(-1, side, side), scales)

    def within(self, seen: Bools) -> "VeinMaps":
        """Returns the maps without the places that lie beside the hand, not scaled yet.

        Args:
            seen: bool [T, H, W], which pixels of each image lie on the hand. A place stays usable
                if most of its pixels do.
        """
        if seen.all():
            return self
        side, (_, height, width) = self.shape.side, seen.shape
        rows, columns = (np.arange(side) * extent // side for extent in (height, width))
        sums = np.add.reduceat(
            np.add.reduceat(seen.astype(np.int64), rows, axis=1), columns, axis=2
        )
        pixels = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
        usable = self.usable & (2 * sums > pixels)
        return VeinMaps(self.values * usable[..., None], usable)

    def to_bytes(self) -> list[bytes]:
        """Returns each map as bytes: its values row by row, a bit for each place, its scale."""
        places = self.shape.side**2
        packed = np.packbits(self.usable.reshape(len(self), places), axis=1)
        rows = zip(self.values, packed, self.scales.astype("<f4"), strict=True)
        return [values.tobytes() + bits.tobytes() + scale.tobytes() for values, bits, scale in rows]

    def __len__(self) -> int:
        """Returns T."""
        return len(self.values)

    def __getitem__(self, rows: slice | NDArray[np.integer] | Bools) -> "VeinMaps":
        """Returns the maps of some images."""
        return VeinMaps(self.values[rows], self.usable[rows], self.scales[rows])

    @property
    def shape(self) -> MapShape:
        """The shape of every map."""
        return MapShape(self.values.shape[1], self.values.shape[3])

    @property
    def deviations(self) -> Floats:
        """float32 [T, S, S, C], the values in standard deviations."""
        return self.values * np.float32(1 / STEPS)


def join_maps(parts: Sequence[VeinMaps]) -> VeinMaps:
    """Returns the maps of several groups of images, at least one, as one group."""
    return VeinMaps(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.usable for part in parts]),
        np.concatenate([part.scales for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class Signs:
    """Maps as they are compared.

    Attributes:
        positive: bool [T, S, S, C], which values are above 0; False at unusable places.
        usable: bool [T, S, S].
    """

    positive: Bools
    usable: Bools

    @classmethod
    def of(cls, maps: VeinMaps, mean: Floats | None = None) -> Self:
        """Returns the signs of maps that are standardised again without what all palms share.

        Args:
            maps: the maps.
            mean: float32 [S, S, C], the mean map to subtract, in deviations; None for none.
        """
        return cls._of(_without(maps, mean), maps.usable)

    @classmethod
    def coarse(cls, maps: VeinMaps, mean: Floats | None = None) -> Self:
        """Returns the signs of maps averaged over 2 x 2 places; see `of`.

        A coarse place is usable if half of its places are.
        """
        values = _without(maps, mean)
        values[~maps.usable] = 0
        total = _sum_by_two(values)
        count = _sum_by_two(maps.usable[..., None].astype(np.float32))
        mean_values = (total / np.maximum(count, 1)).astype(np.float32)
        return cls._of(mean_values, count[..., 0] >= 2)

    @property
    def shape(self) -> MapShape:
        """The shape of every map."""
        return MapShape(self.positive.shape[1], self.positive.shape[3])

    def each(self) -> Iterator["Signs"]:
        """Yields the maps one by one."""
        for i in range(len(self.usable)):
            yield Signs(self.positive[i : i + 1], self.usable[i : i + 1])

    @classmethod
    def _of(cls, values: Floats, usable: Bools) -> Self:
        """Returns the signs of values, which are overwritten at places that are not usable."""
        beside = ~usable
        values[beside] = 0
        count = np.maximum(usable.sum(axis=(1, 2), dtype=np.float32), 1)
        maps, side, _, channels = values.shape
        by_place = values.reshape(maps, side * side, channels).swapaxes(0, 1)
        # A third of the time of values.sum(axis=(1, 2)), which adds in the same order.
        level = np.ascontiguousarray(by_place).sum(axis=0) / count[:, None]
        positive = values > level[:, None, None]
        positive[beside] = False
        return cls(positive, usable)


def _without(maps: VeinMaps, mean: Floats | None) -> Floats:
    """Returns the values of maps in deviations, minus a mean map."""
    values = maps.deviations
    if mean is not None:
        values -= mean
    return values


def _sum_by_two(grids: Floats) -> Floats:
    """Returns the sums [T, ceil(S / 2), ceil(S / 2), C] over 2 x 2 places of [T, S, S, C]."""
    rim = grids.shape[1] % 2
    if rim:
        grids = np.pad(grids, ((0, 0), (0, rim), (0, rim), (0, 0)))
    by_row: Floats = np.add(grids[:, :, ::2], grids[:, :, 1::2])
    return np.add(by_row[:, ::2], by_row[:, 1::2])
