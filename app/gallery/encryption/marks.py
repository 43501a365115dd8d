"""Searches bytes for marks: the nonces of removed keys."""

from collections.abc import Collection

import numpy as np

_HEAD = np.dtype("<u8")
_FEW = 16  # are found faster one by one


def find_marks(content: bytes, marks: Collection[str]) -> set[str]:
    """Returns the marks that bytes hold; the number of marks hardly matters for its time.

    Args:
        content: the bytes.
        marks: each 8 bytes or more, in hexadecimal digits.
    """
    if len(marks) <= _FEW:
        return {mark for mark in marks if bytes.fromhex(mark) in content}
    size = _HEAD.itemsize
    by_head = {mark[: 2 * size]: mark for mark in marks}
    heads = np.array([int.from_bytes(bytes.fromhex(head), "little") for head in by_head], _HEAD)
    found: set[str] = set()
    for first in range(min(size, max(len(content) - size + 1, 0))):
        words = np.frombuffer(content, _HEAD, (len(content) - first) // size, first)
        for word in np.unique(words[np.isin(words, heads)]).tolist():
            mark = by_head[word.to_bytes(size, "little").hex()]
            if bytes.fromhex(mark) in content:
                found.add(mark)
    return found
