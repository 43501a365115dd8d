"""Verification, one probe against one template: the error rates of ISO/IEC 19795-1.

A comparison is a match if its similarity is at least the threshold. FMR is the share of impostor
comparisons that match, FNMR the share of genuine ones that do not; the DET curve is FNMR against
FMR over all thresholds (A. Martin et al., Eurospeech 1997); the EER is `rates.equal_error_rate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Weights

FMRS = (1e-2, 1e-3, 1e-4)
"""Operating points at which the field states FNMR."""

MIN_ERRORS = 3
"""A rate is stated only if the comparisons suffice to expect so many errors: rule of three."""

GRID = 100
"""Bins of the plotted distributions, between the lowest and the highest similarity."""

QUANTILES = 256
"""Thresholds between those, along the genuine similarities and along the highest impostors'."""

Array = NDArray[np.floating]
Counts = NDArray[np.int64]


def highest(similarities: Iterable[Array], count: int) -> tuple[Array, int]:
    """The highest similarities of many, without sorting them all.

    Args:
        similarities: flat blocks.
        count: how many to keep.

    Returns:
        The `count` highest, falling, or all if there are fewer; and how many there are in all.
    """
    kept, total = np.empty(0, np.float32), 0
    for block in similarities:
        total += len(block)
        kept = np.concatenate([kept, block])
        if len(kept) > count:
            kept = np.partition(kept, len(kept) - count)[len(kept) - count :]
    return np.sort(kept)[::-1], total


def threshold_at(falling: Array, rate: float, count: int) -> float | None:
    """The lowest threshold that at most a share of similarities reaches.

    Args:
        falling: the highest of them in falling order, more than `rate * count` or all.
        rate: 0 to 1.
        count: how many there are in all.

    Returns:
        The float32 right above the first similarity that must not match; None if the rule of three
        forbids to state the rate: with fewer than `MIN_ERRORS / rate` comparisons.
    """
    if not is_stated(rate, count):
        return None
    return float(np.nextafter(np.float32(falling[allowed(rate, count)]), np.float32(np.inf)))


def is_stated(rate: float, count: int) -> bool:
    """Whether so many comparisons suffice to state a rate: 300 do for 1 %."""
    # Binary fractions are not exact: 1 % of 300 must be 3, whatever its last digit.
    return count * rate >= MIN_ERRORS - 1e-9


def allowed(rate: float, count: int) -> int:
    """How many of `count` may match for the rate to hold."""
    return min(int(rate * count + 1e-9), count - 1)


def fnmr_at(genuine: Array, threshold: float) -> float:
    """Share of genuine similarities below a threshold."""
    return float((genuine < threshold).mean())


@dataclass(frozen=True, slots=True)
class Tally:
    """How many comparisons reach each threshold, by subject.

    Attributes:
        thresholds: float64 [E], rising; the last is infinity.
        genuine: int64 [S, E], genuine comparisons of each subject's probes that reach it.
        impostors: int64 [S, E], impostor ones.
    """

    thresholds: Array
    genuine: Counts
    impostors: Counts

    def rates(self, weights: Weights) -> tuple[Array, Array]:
        """FMR and FNMR [B, E] at every threshold, every subject counted as often as drawn, [B, S].

        The DET curve is what weights of 1 give.
        """
        genuine, impostors = weights @ self.genuine, weights @ self.impostors
        # The first threshold is the lowest similarity, which everything reaches.
        return impostors / impostors[:, :1], 1 - genuine / genuine[:, :1]


def tally(comparisons: Comparisons, thresholds: Array) -> Tally:
    """Counts, in one pass.

    Args:
        comparisons: of one matcher.
        thresholds: rising; none of the similarities is below the first.
    """
    trials, edges = comparisons.trials, len(thresholds)
    counts = np.zeros((2, trials.subject_count, edges), np.int64)
    own = comparisons.genuine()
    for rows in comparisons.blocks():
        bins = np.searchsorted(thresholds, comparisons.similarities[rows], "right") - 1
        impostors = comparisons.are_impostors(rows)
        for subject, found, others in zip(trials.subjects[rows], bins, impostors, strict=True):
            counts[1, subject] += np.bincount(found[others], minlength=edges)
    np.add.at(counts[0], (trials.subjects, np.searchsorted(thresholds, own, "right") - 1), 1)
    genuine, impostors = np.flip(np.flip(counts, axis=2).cumsum(axis=2), axis=2)
    return Tally(thresholds, genuine, impostors)


def choose_thresholds(comparisons: Comparisons, tail: Array, exact: Iterable[float]) -> Array:
    """Thresholds where the rates change: even ones for plots, more where FNMR or FMR is small.

    Args:
        comparisons: of one matcher.
        tail: the highest impostor similarities, falling.
        exact: thresholds that must be among them.

    Returns:
        float64 [E], rising, from the lowest similarity to infinity.
    """
    genuine = comparisons.genuine()
    low, high = float(comparisons.similarities.min()), float(comparisons.similarities.max())
    few = np.geomspace(1 / len(genuine), 1, QUANTILES)
    ranks = np.geomspace(1, max(len(tail), 1), QUANTILES).astype(int) - 1
    parts = [
        np.linspace(low, high, GRID + 1),
        np.quantile(genuine, np.linspace(0, 1, QUANTILES), method="lower"),
        np.quantile(genuine, few, method="lower"),
        tail[ranks] if len(tail) else tail,
        np.array([*exact, np.inf]),
    ]
    return np.unique(np.concatenate(parts).astype(np.float64))


def eer_of(fmr: Array, fnmr: Array) -> Array:
    """EER [B] over those thresholds [B, E]: as `equal_error_rate` says, or right above it."""
    return np.maximum(fmr, fnmr).min(axis=1)


def fnmr_at_fmr(fmr: Array, fnmr: Array, rate: float) -> Array:
    """FNMR [B] at the lowest of those thresholds [B, E] whose FMR is at most the rate."""
    first = (fmr <= rate).argmax(axis=1)
    return fnmr[np.arange(len(fnmr)), first]
