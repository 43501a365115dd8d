"""Measures the false match rate at a calibrated threshold: the stated FMR against the observed."""

from dataclasses import dataclass

import numpy as np

from app.matching.calibration import Limits
from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Rate, Weights, share
from training.benchmark.verification import MIN_ERRORS, Counts

STATED_FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
"""False match rates whose calibrated thresholds are tested."""

OUTSIDE_FMRS = (1e-3, 1e-4)
"""The same for strangers outside the mean map."""

MAX_RATIO = 3
"""A threshold is flagged if the observed FMR is more than this many times the stated one."""


@dataclass(frozen=True, slots=True)
class FalseMatches:
    """The errors at the threshold that a calibration states for a false match rate.

    Attributes:
        comparisons: number of impostor comparisons.
        matches: how many of them reach the threshold.
        fmr: the observed false match rate.
        fnmr: the false non-match rate.
        exceeded: whether there are at least `MIN_ERRORS` false matches, and more than `MAX_RATIO`
            times as many as stated.
    """

    comparisons: int
    matches: int
    fmr: Rate
    fnmr: Rate
    exceeded: bool


def count_false_matches(
    comparisons: Comparisons, limits: Limits, fmr: float, weights: Weights
) -> FalseMatches:
    """Counts the errors at each identity's threshold.

    Args:
        comparisons: the similarities of one matcher.
        limits: the thresholds of its identities.
        fmr: the stated false match rate.
        weights: [1 + B, S], from `draw_subjects`.
    """
    trials = comparisons.trials
    matches, counts = _by_subject(comparisons, limits, weights.shape[1])
    rates = (weights @ matches) / np.maximum(weights @ counts, 1)
    total, wrong = int(counts.sum()), int(matches.sum())
    missed = comparisons.genuine() < limits.scores[trials.own]
    return FalseMatches(
        comparisons=total,
        matches=wrong,
        fmr=Rate.of(
            float(rates[0]), rates[1:], total, len(np.unique(trials.subjects)), independent=total
        ),
        fnmr=share(missed, trials.subjects, weights),
        exceeded=wrong >= MIN_ERRORS and wrong > MAX_RATIO * fmr * total,
    )


def _by_subject(comparisons: Comparisons, limits: Limits, subjects: int) -> tuple[Counts, Counts]:
    """Returns the false matches and the impostor comparisons of each subject's probes, [S]."""
    matches, counts = np.zeros((2, subjects), np.int64)
    for rows in comparisons.blocks():
        impostors = comparisons.are_impostors(rows)
        reached = impostors & (comparisons.similarities[rows] >= limits.scores)
        own = comparisons.trials.subjects[rows]
        np.add.at(matches, own, reached.sum(axis=1))
        np.add.at(counts, own, impostors.sum(axis=1))
    return matches, counts
