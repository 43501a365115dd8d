"""Coarse maps as bits in a database, which proposes the candidates of a large gallery.

The bits are not encrypted, because the database must count those that differ. A keyed signed
permutation (`app.matching.transform`) hides what they show and keeps every distance.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Net
from app.gallery.collection import Within
from app.gallery.errors import GalleryUnusable
from app.gallery.following import Changes, Position
from app.gallery.index.cameras import Cameras
from app.gallery.index.table import Table
from app.gallery.index.view import View
from app.matching.maps import Bools, Floats, MapShape, Signs, VeinMaps
from app.matching.similarity import COARSE_SHIFT, probe_codes
from app.matching.templates import MapFormat
from app.matching.transform import Transform

PURPOSE = "coarse map"
"""Names the transform of the bits."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Version:
    """The coarse maps of a whole gallery, computed with the same mean maps.

    Attributes:
        number: rises with every version.
        key: secret of the transform, 32 bytes; every version has another one.
        bits: number of bits of a coarse map.
        position: up to where the gallery's changes are in it.
        summed: by camera, the least number of subjects in the formats' sums of maps, as of the
            position.
        renewed: rises whenever its stored mean maps are written again.
    """

    number: int
    key: bytes
    bits: int
    position: Position
    summed: Mapping[str, int]
    renewed: int


class CoarseRows(NamedTuple):
    """Coarse maps of some subjects; those of one subject stand in the order of enrolment.

    Attributes:
        numbers: each one's subject.
        places: its place among the coarse maps of its subject, from 0.
        shares: share of its places that are usable.
        bits: its transformed bits, as a text of 0 and 1.
    """

    numbers: list[int]
    places: list[int]
    shares: list[float]
    bits: list[str]


class Replaced(Exception):
    """Another version has taken the place of the one that was asked."""


class CoarseStore(Protocol):
    """Where coarse maps are kept and searched; every process uses the newest complete version.

    Every method raises `GalleryUnusable` if the store fails.
    """

    def current(self, signature: str) -> Version | None:
        """Returns the newest complete version that nets of this signature computed."""
        ...

    def means(self, version: Version) -> bytes:
        """Returns the mean maps of a version, as they were stored.

        Raises:
            Replaced: if the version is gone.
        """
        ...

    def building(self) -> AbstractContextManager[bool]:
        """Tells whether this process may build a version; no other may until the block ends."""
        ...

    def begin(self, signature: str, bits: int, means: bytes, subjects: int) -> Version:
        """Creates a version without maps; former ones but the newest complete one are removed.

        Args:
            signature: see `signature_of`.
            bits: see `bits_of`.
            means: what `CoarseStore.means` is to return; it is encrypted.
            subjects: about how many subjects it is for.
        """
        ...

    def append(self, version: Version, changes: Changes, rows: CoarseRows) -> Version:
        """Adds the coarse maps of changed subjects; those it has already, and of erased, are not.

        Returns:
            The version as it is now. Nothing is added if its position was another one, because
            another process has added these changes.

        Raises:
            Replaced: if the version is gone.
        """
        ...

    def renew(self, version: Version, means: bytes) -> None:
        """Replaces the stored mean maps of a version."""
        ...

    def complete(self, version: Version) -> None:
        """Lets all processes use a version from now on, and removes the others."""
        ...

    def propose(
        self, version: Version, windows: Sequence[Sequence[str]], most: int, within: Within
    ) -> tuple[int, ...]:
        """Returns the numbers of the subjects whose coarse maps are most alike.

        Args:
            version: the version.
            windows: see `windows_of`.
            most: number of subjects.
            within: only subjects of these collections; None for all.

        Raises:
            Replaced: if the version is gone.
        """
        ...

    def count(self, version: Version, within: Within) -> int:
        """Returns how many subjects of some collections can be searched; None stands for all.

        Raises:
            Replaced: if the version is gone.
        """
        ...

    def count_others(self, version: Version) -> int:
        """Returns how many enrolled subjects cannot be searched.

        Raises:
            Replaced: if the version is gone.
        """
        ...

    def read(self, numbers: Sequence[int], formats: Sequence[MapFormat]) -> Changes:
        """Reads subjects and their maps as if they had changed, without the erased ones.

        Nor those whose retention date has passed; they are not counted and not found, either.
        """
        ...

    def number_of(self, subject_id: str, within: Within) -> int | None:
        """Returns the number of a subject; None if some collections have none of that id."""
        ...


def signature_of(nets: Sequence[Net], proposer: int) -> str:
    """Returns what nets must have in common to use the same coarse maps."""
    hashed = hashlib.sha256(f"{proposer}".encode())
    for net in nets:
        hashed.update(f"{net.format} {net.format.shape} {list(net.identities)}".encode())
        hashed.update(net.trained.owners.tobytes() + net.trained.maps.values.tobytes())
    return hashed.hexdigest()[:32]


def bits_of(shape: MapShape) -> int:
    """Returns the number of bits of a coarse map."""
    return ((shape.side + 1) // 2) ** 2 * shape.channels


def transform_of(version: Version) -> Transform:
    """Returns the transform of a version's bits."""
    return Transform(version.key, version.bits, PURPOSE)


def view_of(changes: Changes, nets: Sequence[Net], means: Cameras, proposer: int = -1) -> View:
    """Returns subjects ready to be compared; their slots are in the order of the changes.

    Args:
        changes: the subjects and all their maps.
        nets: the nets.
        means: the mean maps to subtract, by camera.
        proposer: index of the net whose coarse maps are wanted; by default of none.

    Raises:
        GalleryUnusable: if a template is damaged.
    """
    table = Table(nets, means, proposer)
    table.apply(changes)
    view = table.view()
    if view.damage is not None:
        raise GalleryUnusable(view.damage)
    return view


def rows_of(
    changes: Changes, nets: Sequence[Net], means: Cameras, proposer: int, transform: Transform
) -> CoarseRows:
    """Returns the coarse maps of the changed subjects that can be searched.

    Args:
        changes: the subjects and all their maps.
        nets: the nets.
        means: the mean maps to subtract, by camera.
        proposer: index of the net that proposes.
        transform: the version's.

    Raises:
        GalleryUnusable: if a template is damaged.
    """
    rows = view_of(changes, nets, means, proposer).rows[proposer]
    order = np.argsort(rows.owners, kind="stable")
    owners = rows.owners[order]
    places = np.arange(len(owners)) - np.searchsorted(owners, owners)
    bits = transform.apply_bits(_unpack(rows.coarse[order], nets[proposer].format.shape))
    return CoarseRows(
        [changes.numbers[slot] for slot in owners.tolist()],
        places.tolist(),
        rows.coarse_share[order].tolist(),
        _as_texts(bits),
    )


def windows_of(
    probe: VeinMaps, mean: Floats | None, transform: Transform
) -> Sequence[Sequence[str]]:
    """Returns the coarse maps of a probe's images at every shift, transformed like the templates.

    Args:
        probe: the images' maps.
        mean: the mean map to subtract.
        transform: the version's.
    """
    coarse = (probe_codes(one, COARSE_SHIFT).bits for one in Signs.coarse(probe, mean).each())
    return [_as_texts(transform.apply_bits(_unpack(one, probe.shape))) for one in coarse]


def _unpack(packed: Bytes, shape: MapShape) -> Bools:
    """Returns packed coarse maps [T, K] as bool [T, B], without the bits that fill up a byte."""
    side, channels = (shape.side + 1) // 2, shape.channels
    planes = packed.reshape(len(packed), channels, packed.shape[1] // channels)
    bits = np.unpackbits(planes, axis=2, count=side**2)
    return bits.reshape(len(packed), channels * side**2).astype(bool)


def _as_texts(bits: Bools) -> list[str]:
    digits = bits.astype(np.uint8) + np.uint8(ord("0"))
    return [row.tobytes().decode() for row in digits]
