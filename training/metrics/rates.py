"""Computes the equal error rate, and the confidence interval of a rate."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Returns the 95 % score interval of the rate hits / count: E. B. Wilson, JASA 22 (1927)."""
    from scipy.stats import binomtest  # the import takes a second, and few commands need it

    low, high = binomtest(hits, count).proportion_ci(method="wilson")
    return float(low), float(high)


def equal_error_rate(genuine: Array, impostors: Iterable[Array]) -> float:
    """Returns the equal error rate (ISO/IEC 19795-1): min over t of max(FMR(t), FNMR(t)).

    The minimum is exact: between two genuine similarities FNMR is constant and FMR falls, so only
    genuine similarities are tried as thresholds.

    Args:
        genuine: similarities of pairs of one identity, of any shape.
        impostors: similarities of pairs of two identities, in blocks of any shape. The blocks are
            read once, and need not fit into memory together.

    Raises:
        ValueError: if there are no genuine or no impostor pairs.
    """
    thresholds = np.sort(genuine, axis=None)
    false_matches = np.zeros(len(thresholds), np.int64)
    count = 0
    for block in impostors:
        ordered = np.sort(block, axis=None)
        false_matches += len(ordered) - np.searchsorted(ordered, thresholds)
        count += len(ordered)
    if not len(thresholds) or not count:
        raise ValueError(
            f"{len(thresholds)} genuine and {count} impostor pairs have no equal error rate: "
            "compare at least two identities with two images each"
        )
    fnmr = np.searchsorted(thresholds, thresholds) / len(thresholds)
    return float(np.maximum(false_matches / count, fnmr).min())
