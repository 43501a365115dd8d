"""Computes confidence intervals of rates by a bootstrap over subjects.

Images of one subject are not independent, so subjects are drawn, each with all of its probes; the
gallery stays the same. Percentile interval: B. Efron and R. Tibshirani, "An introduction to the
bootstrap" (1993), chapter 13. ISO/IEC 19795-1 recommends the bootstrap if trials are not
independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500
"""Number of resamples: 12 of them lie beyond each end of a 95 % interval."""

Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its 95 % interval and its counts.

    Attributes:
        value: the rate, 0 to 1.
        low: lower end of the interval.
        high: upper end of the interval.
        count: number of probes; for the ECE, of answers; for an FMR, of comparisons.
        subjects: number of subjects with such a probe.
        rule_of_three: whether the interval is from the rule of three, 3 / subjects wide; for an
            FMR, 3 / comparisons.
    """

    value: float
    low: float
    high: float
    count: int
    subjects: int
    rule_of_three: bool

    @classmethod
    def of(
        cls,
        value: float,
        resampled: Weights,
        count: int,
        subjects: int,
        *,
        independent: int | None = None,
    ) -> "Rate":
        """Returns a rate with the interval of the bootstrap or, at 0 and 1, of the rule of three.

        Resamples of data without errors have no errors, so their interval would be empty. With no
        error in n independent trials the rate is at most 3 / n, at 95 % confidence (ISO/IEC
        19795-1); the subjects are the independent trials.

        Args:
            value: the rate over all subjects.
            resampled: float64 [B], the rate of each resample.
            count: number of probes.
            subjects: number of subjects.
            independent: number of independent trials; by default the subjects.
        """
        bound = min(3 / (independent or subjects), 1.0)
        if value in (0, 1):
            low, high = (0.0, bound) if value == 0 else (1 - bound, 1.0)
        else:
            ends = np.percentile(resampled, [2.5, 97.5])
            # If few resamples differ, the value itself may lie outside.
            low, high = min(float(ends[0]), value), max(float(ends[1]), value)
        return cls(value, low, high, count, subjects, value in (0, 1))


def draw_subjects(count: int, seed: int, resamples: int = RESAMPLES) -> Weights:
    """Returns how often each subject is drawn in each resample, float64 [1 + resamples, count].

    The first row is all ones, so a rate computed for each row is the rate over all subjects,
    followed by the rates of the resamples.
    """
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])


def share(hits: NDArray[np.bool_], subjects: NDArray[np.int32], weights: Weights) -> Rate:
    """Returns the share of probes that are hits, with its interval.

    Args:
        hits: bool [P], whether each probe is a hit.
        subjects: int32 [P], the subject of each probe.
        weights: [1 + B, S], from `draw_subjects`.
    """
    sums = [
        np.bincount(subjects, values, weights.shape[1]) for values in (hits, np.ones(len(hits)))
    ]
    right, counts = (weights @ each for each in sums)
    rates = right / np.maximum(counts, 1)
    return Rate.of(float(rates[0]), rates[1:], len(hits), int((sums[1] > 0).sum()))
