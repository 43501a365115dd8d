"""How far a rate may be from the truth: a bootstrap over subjects, not over their images.

Images of one person are alike, so the persons are what is drawn, each with all of their probes;
the gallery stays. B. Efron and R. Tibshirani, "An introduction to the bootstrap" (1993), chapter
13 (percentile interval); ISO/IEC 19795-1 names the bootstrap for rates whose trials depend on one
another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500
"""Enough for both ends of a 95 % interval: 12 resamples lie outside at either."""

Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, its 95 % interval, and what it was counted from.

    Attributes:
        value: 0 to 1.
        low: lower end of the interval.
        high: upper end.
        count: probes, or for ECE answers, that it was counted from.
        subjects: persons whom these are of.
        rule_of_three: whether the open end is 3 / subjects away, since nothing was seen to vary.
    """

    value: float
    low: float
    high: float
    count: int
    subjects: int
    rule_of_three: bool

    @classmethod
    def of(cls, value: float, resampled: Weights, count: int, subjects: int) -> "Rate":
        """A rate whose interval the bootstrap gives or, at 0 and at 1, the rule of three.

        A resample of no errors has no errors, so the bootstrap would claim certainty. With no error
        in n independent trials the rate is at most 3 / n, at 95 % confidence (ISO/IEC 19795-1);
        independent are the subjects.

        Args:
            value: of the subjects as they are.
            resampled: float64 [B], of each resample.
            count: of probes.
            subjects: of persons.
        """
        bound = min(3 / subjects, 1.0)
        if value in (0, 1):
            low, high = (0.0, bound) if value == 0 else (1 - bound, 1.0)
        else:
            ends = np.percentile(resampled, [2.5, 97.5])
            # Of few resampled steps the value itself may lie outside.
            low, high = min(float(ends[0]), value), max(float(ends[1]), value)
        return cls(value, low, high, count, subjects, value in (0, 1))


def draw_subjects(count: int, seed: int, resamples: int = RESAMPLES) -> Weights:
    """How often each subject is drawn, float64 [1 + resamples, count].

    The first row is all ones, the subjects as they are: whatever is computed of the rows gives the
    rate and its resamples at once.
    """
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])


def share(hits: NDArray[np.bool_], subjects: NDArray[np.int32], weights: Weights) -> Rate:
    """The share of probes that are hits.

    Args:
        hits: bool [P].
        subjects: int32 [P], whose probes.
        weights: of `draw_subjects`, [1 + B, S].
    """
    sums = [
        np.bincount(subjects, values, weights.shape[1]) for values in (hits, np.ones(len(hits)))
    ]
    right, all_of = (weights @ each for each in sums)
    rates = right / np.maximum(all_of, 1)
    return Rate.of(float(rates[0]), rates[1:], len(hits), int((sums[1] > 0).sum()))
