"""Hamming distances by the processor's vector instructions."""

import numkong
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def hamming(rows: Bytes, others: Bytes) -> NDArray[np.uint32]:
    """Counts the bits that differ between every two rows, in one thread.

    A second thread would not pay: it takes as long to wake up as it saves.

    Args:
        rows: uint8 [R, K], contiguous.
        others: uint8 [Q, K], contiguous.

    Returns:
        uint32 [R, Q].

    Raises:
        ValueError: if the two K differ.
    """
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"rows of {rows.shape[1]} and {others.shape[1]} bytes cannot be compared")
    if len(rows) < len(others):
        return hamming(others, rows).T  # fewer to pack
    found = np.empty((len(rows), len(others)), np.uint32)
    if found.size:
        packed = numkong.hammings_pack(np.ascontiguousarray(others), dtype="uint1")
        found[:] = numkong.hammings_packed(rows, packed)
    return found
