"""Hamming distances by the processor's vector instructions."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

import numkong
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

ROWS_AT_ONCE = 2048
"""Rows that are compared at once: with their distances they stay in a core's own cache."""

MIN_ROWS_PER_THREAD = 16 * ROWS_AT_ONCE
"""Least number of rows for which a thread is started: they take some 5 ms."""


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
    if not (len(others) and rows.size):
        return np.zeros((len(rows), len(others)), np.uint32)
    packed = numkong.hammings_pack(np.ascontiguousarray(others), dtype="uint1")
    return np.asarray(numkong.hammings_packed(rows, packed))


def hamming_to_nearest(rows: Bytes, groups: Bytes) -> NDArray[np.uint32]:
    """Counts the bits that differ between each row and the nearest one of each group.

    Many rows are divided among the cores this process may use. Each row is read once for all
    groups, and the distances to those that are not the nearest stay in the cache.

    Args:
        rows: uint8 [R, K], contiguous.
        groups: uint8 [G, Q, K], Q at least 1.

    Returns:
        uint32 [G, R].

    Raises:
        ValueError: if the two K differ.
    """
    count, size, width = groups.shape
    others = groups.reshape(count * size, width)
    found = np.empty((count, len(rows)), np.uint32)

    def compare(parts: Iterator[int]) -> None:
        for first in parts:
            some = slice(first, first + ROWS_AT_ONCE)
            by_group = hamming(rows[some], others).T.reshape(count, size, -1)
            for group, distances in enumerate(by_group):
                # This order of the loop takes a quarter of the time of min(axis=0).
                found[group, some] = reduce(np.minimum, distances)

    threads = min(len(os.sched_getaffinity(0)), len(rows) // MIN_ROWS_PER_THREAD)
    parts = iter(range(0, len(rows), ROWS_AT_ONCE))  # shared: a thread takes the next part
    if threads < 2:
        compare(parts)
    else:
        with ThreadPoolExecutor(threads, "hamming") as pool:
            list(pool.map(compare, [parts] * threads))  # raises what a thread has raised
    return found
