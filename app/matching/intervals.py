"""Confidence intervals of counted rates."""

from math import sqrt
from statistics import NormalDist

_DEVIATIONS = NormalDist().inv_cdf(0.975)


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Returns the 95 % score interval of the rate hits / count: E. B. Wilson, JASA 22 (1927).

    Args:
        hits: from 0 to `count`.
        count: at least 1.
    """
    rate, spread = hits / count, _DEVIATIONS**2 / count
    centre = (rate + spread / 2) / (1 + spread)
    half = sqrt(rate * (1 - rate) * spread + spread**2 / 4) / (1 + spread)
    # The interval of no hits starts at 0 and that of nothing but hits ends at 1, but for rounding.
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == count else centre + half
    return low, high
