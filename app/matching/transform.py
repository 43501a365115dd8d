"""Transforms templates under a key, so that a stolen one can be replaced: renewable templates.

A transform moves every value of a template to another place and changes the sign of about half of
them, both by a secret key. Templates that are transformed alike keep their distances exactly;
templates under different keys do not match. So whoever suspects a theft takes another key. It is
the renewability and revocability that ISO/IEC 24745:2022 asks of a biometric reference, by what the
literature calls salting: N. K. Ratha et al., "Generating cancelable fingerprint templates", IEEE
TPAMI 29 (2007); A. B. J. Teoh et al., "Random multispace quantization as an analytic mechanism for
BioHashing of biometric and random identity inputs", IEEE TPAMI 28 (2006).

The transform is revocable, not irreversible: with the key it is undone exactly, as by `undo`.
"""

from hashlib import shake_256
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Bools, Int8s

Scalar = TypeVar("Scalar", bound=np.generic)

_WORD_BYTES = 8


class Transform:
    """A keyed signed permutation of `size` values.

    Attributes:
        order: int64 [size], the place each transformed value comes from.
        flips: bool [size], the transformed values whose sign is changed.
    """

    def __init__(self, key: bytes, size: int, purpose: str) -> None:
        """Derives the permutation and the signs by SHAKE256 (FIPS 202).

        Every permutation is equally likely: it sorts 64-bit words, of which two are equal with a
        probability below size^2 / 2^65.

        Args:
            key: the secret, at least 16 bytes.
            size: values in a template.
            purpose: what is transformed; transforms for different purposes or sizes are unrelated.

        Raises:
            ValueError: if the key is too short, or there is no value.
        """
        if len(key) < 16 or size < 1:
            raise ValueError(
                f"a transform takes a key of at least 16 bytes and at least 1 value, not "
                f"{len(key)} and {size}"
            )
        stream = shake_256(_seed(key, size, purpose)).digest(size * _WORD_BYTES + -(-size // 8))
        words = np.frombuffer(stream, "<u8", size)
        signs = np.frombuffer(stream, np.uint8, offset=size * _WORD_BYTES)
        self.order = np.argsort(words, kind="stable")
        self.flips = np.unpackbits(signs, count=size).astype(bool)
        self._inverse = np.argsort(self.order, kind="stable")
        self._factors = np.where(self.flips, np.int8(-1), np.int8(1))

    def apply(self, values: Int8s) -> Int8s:
        """Returns transformed values.

        Args:
            values: int8 [..., size] from -127 to 127, as those of `VeinMaps`. A value of -128 has
                no opposite and keeps its sign; `undo` returns it as well.

        Raises:
            ValueError: if the last axis has another size.
        """
        return self._move(values, self.order) * self._factors

    def undo(self, values: Int8s) -> Int8s:
        """Returns the values [..., size] that `apply` transformed."""
        self._require_size(values)
        return self._move(values * self._factors, self._inverse)

    def apply_bits(self, bits: Bools) -> Bools:
        """Returns transformed bits; a change of sign inverts a bit.

        Args:
            bits: bool [..., size].

        Raises:
            ValueError: if the last axis has another size.
        """
        return self._move(bits, self.order) ^ self.flips

    def _move(self, values: NDArray[Scalar], order: NDArray[np.int64]) -> NDArray[Scalar]:
        self._require_size(values)
        return np.take(values, order, axis=-1)

    def _require_size(self, values: NDArray[Any]) -> None:
        if values.shape[-1] != len(self.order):
            raise ValueError(
                f"this transform takes {len(self.order)} values, not {values.shape[-1]}: they have "
                "another format"
            )


def keystream(key: bytes, size: int, purpose: str) -> bytes:
    """Returns `size` bytes that only the key tells from random ones, for one purpose."""
    return shake_256(_seed(key, size, purpose)).digest(size)


def _seed(key: bytes, size: int, purpose: str) -> bytes:
    """Returns what is hashed; no two different arguments give the same bytes."""
    return f"palm template: {len(key)} {size} {purpose}\0".encode() + key
