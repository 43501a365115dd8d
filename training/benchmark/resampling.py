"""Confidence intervals of rates: a bootstrap over subjects.

Images of one person are alike, so persons are drawn, each with all their probes; the gallery stays
the same. Percentile interval: B. Efron and R. Tibshirani, "An introduction to the bootstrap"
(1993), chapter 13. ISO/IEC 19795-1 recommends the bootstrap where trials are not independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500
"""Enough for a 95 % interval: 12 resamples lie beyond each end."""

Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its 95 % interval and its counts.

    Attributes:
        value: 0 to 1.
        low: lower end of the interval.
        high: upper end of the interval.
        count: number of probes, or of answers for the ECE.
        subjects: number of persons with such a probe.
        rule_of_three: whether the interval is the rule of three's, 3 / subjects wide.
    """

    value: float
    low: float
    high: float
    count: int
    subjects: int
    rule_of_three: bool

    @classmethod
    def of(cls, value: float, resampled: Weights, count: int, subjects: int) -> "Rate":
        """Returns a rate with the bootstrap's interval or, at 0 and 1, the rule of three's.

        Resamples without errors are all alike, so the bootstrap's interval would be empty. With no
        error in n independent trials the rate is at most 3 / n, at 95 % confidence (ISO/IEC
        19795-1); the subjects are the independent trials.

        Args:
            value: the rate of all subjects.
            resampled: float64 [B], the rate of each resample.
            count: number of probes.
            subjects: number of persons.
        """
        bound = min(3 / subjects, 1.0)
        if value in (0, 1):
            low, high = (0.0, bound) if value == 0 else (1 - bound, 1.0)
        else:
            ends = np.percentile(resampled, [2.5, 97.5])
            # With few distinct resamples the value itself may lie outside.
            low, high = min(float(ends[0]), value), max(float(ends[1]), value)
        return cls(value, low, high, count, subjects, value in (0, 1))


def draw_subjects(count: int, seed: int, resamples: int = RESAMPLES) -> Weights:
    """Returns how often each subject is drawn, float64 [1 + resamples, count].

    The first row is all ones: every subject once. A rate computed for each row is therefore the
    rate itself, followed by its resamples.
    """
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])


def share(hits: NDArray[np.bool_], subjects: NDArray[np.int32], weights: Weights) -> Rate:
    """Returns the share of probes that are hits.

    Args:
        hits: bool [P].
        subjects: int32 [P], the subject of each probe.
        weights: [1 + B, S], from `draw_subjects`.
    """
    sums = [
        np.bincount(subjects, values, weights.shape[1]) for values in (hits, np.ones(len(hits)))
    ]
    right, counts = (weights @ each for each in sums)
    rates = right / np.maximum(counts, 1)
    return Rate.of(float(rates[0]), rates[1:], len(hits), int((sums[1] > 0).sum()))
