"""The keys that transform templates, so that templates can be renewed after a theft.

A map is transformed as `VeinMaps.to_bytes` wrote it, before any mean map is subtracted: the mean
map changes with the gallery. This is the same as to transform afterwards, because a signed
permutation of a difference is the difference of the signed permutations.
"""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from app.matching.maps import SCALE_BYTES, Int8s
from app.matching.transform import Transform, keystream

NAME = "transform "
"""Precedes the id of a template key in its name among the gallery's secrets."""


class TemplateKey:
    """Transforms templates under one key; safe for concurrent callers."""

    def __init__(self, key: bytes) -> None:
        """Takes a key of 32 bytes."""
        self._key = key
        self._transforms: dict[tuple[int, str], Transform] = {}

    def is_of(self, key: bytes) -> bool:
        """Returns whether this is the key of these bytes."""
        return self._key == key

    def transform(self, size: int, purpose: str) -> Transform:
        """Returns the transform of `size` values for a purpose; it is derived once."""
        found = self._transforms.get((size, purpose))
        if found is None:
            found = self._transforms[size, purpose] = Transform(self._key, size, purpose)
        return found

    def apply(self, plain: bytes, net: str, template_id: str, number: int) -> bytes:
        """Returns a map as it is encrypted.

        Its values change places and signs, together with the bytes of its usable places. Its scale
        is not compared, and could link templates: it is hidden by a key stream for this map alone.

        Args:
            plain: the map, as `VeinMaps.to_bytes` wrote it.
            net: the net's name.
            template_id: see `MapFormat`.
            number: the image's number.
        """
        return self._change(plain, Transform.apply, net, template_id, number)

    def undo(self, transformed: bytes, net: str, template_id: str, number: int) -> bytes:
        """Returns the map that `apply` transformed."""
        return self._change(transformed, Transform.undo, net, template_id, number)

    def _change(
        self,
        stored: bytes,
        change: Callable[[Transform, Int8s], Int8s],
        net: str,
        template_id: str,
        number: int,
    ) -> bytes:
        end = len(stored) - SCALE_BYTES
        if end <= 0:
            return stored  # damaged, and stays so
        transform = self.transform(end, f"map {net} {template_id}")
        values = change(transform, np.frombuffer(stored, np.int8, end))
        stream = keystream(self._key, SCALE_BYTES, f"scale {net} {template_id} {number}")
        scale = np.frombuffer(stored, np.uint8, offset=end) ^ np.frombuffer(stream, np.uint8)
        return values.tobytes() + scale.tobytes()


class TemplateKeys:
    """The template keys as one transaction sees them; they are read once one is needed."""

    def __init__(self, read: Callable[[], Mapping[str, TemplateKey]]) -> None:
        """Creates the access.

        Args:
            read: returns the keys by id, at least one.
        """
        self._read = read

    @cached_property
    def by_id(self) -> Mapping[str, TemplateKey]:
        """The keys by id; several while templates are transformed anew.

        Raises:
            GalleryUnusable: if one is damaged.
        """
        return self._read()

    @property
    def newest(self) -> str:
        """The id of the key that transforms templates from now on."""
        return max(self.by_id, key=int)
