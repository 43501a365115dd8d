"""Rates and what they are worth: a confidence interval, an equal error rate."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % score interval of a rate: E. B. Wilson, JASA 22 (1927)."""
    z, rate = 1.959964, hits / count
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return float(centre - half), float(centre + half)


def equal_error_rate(genuine: Array, impostor: Array) -> float:
    """Rate where FMR and FNMR meet (ISO/IEC 19795-1), at the threshold where they differ least.

    Args:
        genuine: similarities of pairs of one identity, of any shape.
        impostor: similarities of pairs of two identities.
    """
    genuine, impostor = np.sort(genuine.ravel()), np.sort(impostor.ravel())
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    fnmr = np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    fmr = 1 - np.searchsorted(impostor, thresholds, side="left") / len(impostor)
    nearest = int(np.abs(fnmr - fmr).argmin())
    return float((fnmr[nearest] + fmr[nearest]) / 2)
