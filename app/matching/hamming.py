"""Hamming distances by the processor's vector instructions."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numkong
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_BYTES_PER_THREAD = 1 << 23
"""Bytes to compare for which a second thread pays: about a millisecond's work."""


def hamming(rows: Bytes, others: Bytes) -> NDArray[np.uint32]:
    """Counts the bits that differ between every two rows.

    Args:
        rows: uint8 [R, K], contiguous.
        others: uint8 [Q, K]; quickest if there are fewer of these.

    Returns:
        uint32 [R, Q].

    Raises:
        ValueError: if the two K differ.
    """
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"rows of {rows.shape[1]} and {others.shape[1]} bytes cannot be compared")
    found = np.empty((len(rows), len(others)), np.uint32)
    if not found.size:
        return found
    packed = numkong.hammings_pack(np.ascontiguousarray(others), dtype="uint1")
    threads = min(os.cpu_count() or 1, 1 + rows.nbytes * len(others) // _BYTES_PER_THREAD)
    bounds = np.linspace(0, len(rows), threads + 1).astype(int)

    def count(first: int, last: int) -> None:
        if last > first:
            found[first:last] = numkong.hammings_packed(rows[first:last], packed)

    if threads == 1:
        count(0, len(rows))
    else:
        list(_pool().map(count, bounds[:-1].tolist(), bounds[1:].tolist()))
    return found


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "hamming")
