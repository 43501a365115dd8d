"""Rates and what they are worth: a confidence interval, an equal error rate."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % score interval of a rate: E. B. Wilson, JASA 22 (1927)."""
    z, rate = 1.959964, hits / count
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return float(centre - half), float(centre + half)


def equal_error_rate(genuine: Array, impostors: Iterable[Array]) -> float:
    """Where FMR and FNMR meet (ISO/IEC 19795-1): the lowest rate that neither need exceed.

    min over t of max(FMR(t), FNMR(t)), and exactly that: between two genuine similarities FNMR
    stays and FMR falls, so the lowest maximum lies at a genuine similarity.

    Args:
        genuine: similarities of pairs of one identity, of any shape.
        impostors: those of pairs of two identities in blocks of any shape, for there may be more of
            them than the memory holds.

    Raises:
        ValueError: if there are none of either.
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
            f"an equal error rate of {len(thresholds)} genuine and {count} impostor pairs is none: "
            "compare at least two identities with two images each"
        )
    fnmr = np.searchsorted(thresholds, thresholds) / len(thresholds)
    return float(np.maximum(false_matches / count, fnmr).min())
