"""Templates: the key of their net, and the mean of several embeddings."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SHORTEST = 1e-12  # a mean of opposite embeddings has no direction; it stays near zero


class NetKey(NamedTuple):
    """One version of one net; templates of different keys cannot be compared."""

    net: str
    version: int

    def __str__(self) -> str:
        return f"{self.net}/{self.version}"


def mean_template(rows: Floats) -> Floats:
    """Returns the mean of embeddings, scaled to unit length.

    Args:
        rows: float32 [T, ..., D], T >= 1, of unit length along D.

    Returns:
        float32 [..., D], of unit length along D.
    """
    mean = rows.mean(axis=0)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return (mean / np.maximum(length, _SHORTEST)).astype(np.float32)


def mean_templates(embeddings: Floats, labels: NDArray[np.integer], count: int) -> Floats:
    """Returns the mean template of every identity.

    Args:
        embeddings: float32 [T, ..., D], of unit length along D.
        labels: integers [T] from 0 to `count` - 1: the identity of each embedding.
        count: number of identities.

    Returns:
        float32 [count, ..., D], of unit length along D; zeros for an identity without embeddings.
    """
    sums = np.zeros((count, *embeddings.shape[1:]), np.float32)
    np.add.at(sums, labels, embeddings)
    return sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), _SHORTEST)


def are_unit(rows: Floats) -> NDArray[np.bool_]:
    """Checks which rows have unit length, within 1 %.

    bfloat16, the coarsest type an engine may compute in, changes a length by at most 0.4 %.

    Args:
        rows: float32 [..., D].

    Returns:
        bool [...]; False for a row that holds a NaN or an infinity.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(np.linalg.norm(rows, axis=-1) - 1) < 0.01
