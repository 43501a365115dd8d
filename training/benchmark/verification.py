"""Measures verification, which compares one probe with one template, by ISO/IEC 19795-1.

A comparison is a match if its similarity is at least the threshold. FMR is the share of impostor
comparisons that match, FNMR the share of genuine ones that do not. The DET curve is FNMR against
FMR over all thresholds (A. Martin et al., Eurospeech 1997). The EER is `rates.equal_error_rate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Weights

FMRS = (1e-2, 1e-3, 1e-4)
"""False match rates at which FNMR is usually stated."""

MIN_ERRORS = 3
"""Least number of expected errors for a rate to be stated, by the rule of three."""

GRID = 100
"""Number of bins of the plotted distributions, from the lowest to the highest similarity."""

QUANTILES = 256
"""Number of thresholds taken from the genuine and from the highest impostor similarities."""

Array = NDArray[np.floating]
Counts = NDArray[np.int64]


def highest(similarities: Iterable[Array], count: int) -> Array:
    """Returns the highest similarities without sorting all of them.

    Args:
        similarities: similarities in flat blocks.
        count: number of similarities to return.

    Returns:
        float32 [count] or, if there are fewer, all; in falling order.
    """
    kept = np.empty(0, np.float32)
    for block in similarities:
        kept = np.concatenate([kept, block])
        if len(kept) > count:
            kept = np.partition(kept, len(kept) - count)[len(kept) - count :]
    return np.sort(kept)[::-1]


def lowest_threshold(falling: Array, rate: float, count: int) -> float | None:
    """Returns the lowest threshold that at most a share `rate` of the similarities reaches.

    Args:
        falling: the highest similarities in falling order: more than `rate * count`, or all.
        rate: largest share that may reach the threshold, 0 to 1.
        count: number of all similarities.

    Returns:
        The next float32 above the highest similarity that must not match; None for fewer than
        `MIN_ERRORS / rate` similarities, which are too few to state the rate.
    """
    if not is_stated(rate, count):
        return None
    return float(np.nextafter(np.float32(falling[allowed(rate, count)]), np.float32(np.inf)))


def is_stated(rate: float, count: int) -> bool:
    """Returns whether `count` comparisons are enough to state a rate, such as 300 for 1 %."""
    # 1 % of 300 must be 3 despite rounding.
    return count * rate >= MIN_ERRORS - 1e-9


def allowed(rate: float, count: int) -> int:
    """Returns how many of `count` comparisons may match at this rate."""
    return min(int(rate * count + 1e-9), count - 1)


def fnmr_at(genuine: Array, threshold: float) -> float:
    """Returns the share of genuine similarities below a threshold."""
    return float((genuine < threshold).mean())


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of comparisons that reach each threshold, by subject.

    Attributes:
        thresholds: float64 [E], in rising order; the last is infinity.
        genuine: int64 [S, E], genuine comparisons of each subject's probes that reach it.
        impostors: int64 [S, E], impostor comparisons of each subject's probes that reach it.
    """

    thresholds: Array
    genuine: Counts
    impostors: Counts

    def rates(self, weights: Weights) -> tuple[Array, Array]:
        """Returns FMR and FNMR [B, E] at every threshold: a DET curve for each row of weights.

        Args:
            weights: [B, S], how often each subject counts.
        """
        genuine, impostors = weights @ self.genuine, weights @ self.impostors
        # Every comparison reaches the first threshold, the lowest similarity.
        return impostors / impostors[:, :1], 1 - genuine / genuine[:, :1]


def tally(comparisons: Comparisons, thresholds: Array) -> Tally:
    """Counts the comparisons that reach each threshold.

    Args:
        comparisons: the similarities of one matcher.
        thresholds: float64 [E], in rising order; no similarity is below the first.
    """
    trials, edges = comparisons.trials, len(thresholds)
    counts = np.zeros((2, trials.subject_count, edges), np.int64)
    own = comparisons.genuine()
    for rows in tqdm(comparisons.blocks(), "verification", delay=1):
        bins = np.searchsorted(thresholds, comparisons.similarities[rows], "right") - 1
        impostors = comparisons.are_impostors(rows)
        for subject, found, others in zip(trials.subjects[rows], bins, impostors, strict=True):
            counts[1, subject] += np.bincount(found[others], minlength=edges)
    np.add.at(counts[0], (trials.subjects, np.searchsorted(thresholds, own, "right") - 1), 1)
    genuine, impostors = np.flip(np.flip(counts, axis=2).cumsum(axis=2), axis=2)
    return Tally(thresholds, genuine, impostors)


def choose_thresholds(comparisons: Comparisons, tail: Array, exact: Iterable[float]) -> Array:
    """Returns thresholds for a DET curve: evenly spaced, and denser where FNMR or FMR is small.

    Args:
        comparisons: the similarities of one matcher.
        tail: the highest impostor similarities, in falling order.
        exact: thresholds to include.

    Returns:
        float64 [E], in rising order from the lowest similarity to infinity.
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
    """Returns the EER [B] over tallied thresholds [B, E]; never below `equal_error_rate`."""
    return np.maximum(fmr, fnmr).min(axis=1)


def fnmr_at_fmr(fmr: Array, fnmr: Array, rate: float) -> Array:
    """Returns the FNMR [B] at the lowest tallied threshold [B, E] whose FMR is at most `rate`."""
    first = (fmr <= rate).argmax(axis=1)
    return fnmr[np.arange(len(fnmr)), first]
