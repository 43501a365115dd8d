"""Calibration of scores: thresholds with their false match rates, and temperatures.

The best of several enrolled images is higher, and the mean of several probes varies less, than one
score, and impostors are more alike while no mean map is subtracted. Each such case has its own
thresholds, measured on strangers: palms that no net was trained on.

With a mean map there are enough subjects to know how alike impostors are before the site's camera.
Thresholds then count deviations above that mean (`app.matching.impostors`); without, scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

from app.matching.impostors import Impostors

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 5e-7)
"""False match rates that `calibrate` measures, if there are enough comparisons. The last one
holds an FPIR of 1 % among 20,000 subjects."""

MIN_FALSE_MATCHES = 3
"""A rate is measured only if at least this many comparisons are expected above its threshold."""

FPIR_TARGET = 0.01
"""False positive identification rate at which the temperature is fitted: the service's default."""

Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score and the false match rate at it.

    Attributes:
        score: a score or, in a case with a mean map, deviations above the mean of the site's
            impostors.
        fmr: share of impostor comparisons that reach the score, in (0, 1].
        comparisons: number of impostor comparisons measured; None for an interpolated threshold.
    """

    score: float
    fmr: float
    comparisons: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The meaning of scores in one case.

    Attributes:
        mean_map: whether a mean map is subtracted.
        templates: images enrolled of a subject.
        probes: images of one probe; a case of 2 also holds for more.
        temperature: a difference of scores divided by it is a difference of log-odds.
        thresholds: at least one, in the order of falling FMR and rising score.
    """

    mean_map: bool
    templates: int
    probes: int
    temperature: float
    thresholds: tuple[Threshold, ...]

    def threshold_at(self, fmr: float) -> Threshold:
        """Returns the threshold for a false match rate, interpolated over log10(FMR).

        Outside the measured range it is the nearest measured one, with that one's FMR.
        """
        measured = [log10(one.fmr) for one in reversed(self.thresholds)]
        asked = min(max(log10(fmr), measured[0]), measured[-1])
        score = np.interp(asked, measured, [one.score for one in reversed(self.thresholds)])
        return Threshold(float(score), 10**asked)

    def fmr_at(self, score: float) -> float | None:
        """Returns the false match rate at a score, the inverse of `threshold_at`.

        None outside the measured scores.
        """
        scores = [one.score for one in self.thresholds]
        if not scores[0] <= score <= scores[-1]:
            return None
        return float(10 ** np.interp(score, scores, [log10(one.fmr) for one in self.thresholds]))

    @property
    def tail_slope(self) -> float:
        """Rise of the score from the last FMR but one to the last, for a tenth of the FMR."""
        if len(self.thresholds) < 2:
            return 0.0
        looser, stricter = self.thresholds[-2:]
        tenths = float(np.log10(looser.fmr / stricter.fmr))
        return (stricter.score - looser.score) / tenths


@dataclass(frozen=True, slots=True)
class Calibration:
    """The meaning of one matcher's scores, in every case.

    Attributes:
        cases: at least one.
    """

    cases: tuple[Case, ...]

    @property
    def lowest_fmr(self) -> float:
        """The lowest false match rate that every case has a threshold for."""
        return max(case.thresholds[-1].fmr for case in self.cases)

    @property
    def has_mean_map(self) -> bool:
        """Whether there is a case with a mean map. Without, the others hold for every gallery."""
        return any(case.mean_map for case in self.cases)

    @property
    def temperature(self) -> float:
        """Temperature for one enrolled and one probe image; the lower, the clearer the scores.

        In deviations of the impostors, if there is a case with a mean map.
        """
        one, unscaled = np.ones(1, np.int64), Impostors(0.0, 1.0)
        limits = self.at(FPIR_TARGET, one, probes=1, impostors=unscaled)
        return float(limits.temperatures[0])

    def at(
        self,
        fmr: float,
        templates: NDArray[np.integer],
        *,
        probes: int,
        impostors: Impostors | None,
    ) -> "Limits":
        """Returns what each subject's score must reach for a false match rate.

        Between the measured numbers of enrolled images, thresholds are interpolated over the
        number's logarithm. Above the largest they rise as between the last two; if only one number
        was measured, by the union bound: the best of k images reaches a threshold at most k times
        as often.

        Args:
            fmr: the false match rate, in (0, 1].
            templates: integers [N], images enrolled of each subject, at least 1.
            probes: images of the probe, at least 1.
            impostors: the site's impostors, if a mean map is subtracted; None if none is.
        """
        scale = impostors if impostors and self.has_mean_map else Impostors(0.0, 1.0)
        cases = self._cases(probes, impostors is not None and self.has_mean_map)
        found = [case.threshold_at(fmr) for case in cases]
        counts = np.log([case.templates for case in cases])
        asked = np.log(np.maximum(templates, 1))
        scores = [one.score for one in found]
        if len(cases) > 1:
            rise = (scores[-1] - scores[-2]) / (counts[-1] - counts[-2])
        else:
            rise = cases[0].tail_slope / np.log(10)
        above = np.maximum(asked - counts[-1], 0) * max(rise, 0.0)
        temperatures = np.interp(asked, counts, [case.temperature for case in cases])
        return Limits(
            scores=scale.mean + scale.deviation * (np.interp(asked, counts, scores) + above),
            temperatures=scale.deviation * temperatures,
            fmr=max(one.fmr for one in found),
        )

    def for_one_image(self, fmr: float, impostors: Impostors | None) -> tuple[float, float]:
        """Returns the score for one probe and one enrolled image, and the FMR at it; see `at`."""
        limits = self.at(fmr, np.ones(1, np.int64), probes=1, impostors=impostors)
        return float(limits.scores[0]), limits.fmr

    def fmr_at(self, score: float, impostors: Impostors | None) -> float | None:
        """Returns the FMR at a score of one probe image with one enrolled image.

        None outside the measured scores.
        """
        is_scaled = impostors is not None and self.has_mean_map
        scale = impostors if impostors and is_scaled else Impostors(0.0, 1.0)
        return self._cases(1, is_scaled)[0].fmr_at((score - scale.mean) / scale.deviation)

    def _cases(self, probes: int, mean_map: bool) -> list[Case]:
        """Returns the nearest cases, by their number of templates."""
        same = [case for case in self.cases if case.mean_map == mean_map]
        most = max((case.probes for case in same if case.probes <= probes), default=1)
        chosen = [case for case in same if case.probes == most] or same
        return sorted(chosen, key=lambda case: case.templates)


@dataclass(frozen=True, slots=True)
class Limits:
    """What N subjects' scores must reach.

    Attributes:
        scores: float64 [N].
        temperatures: float64 [N].
        fmr: the false match rate at these scores: the one that was asked for, or the nearest
            that was measured.
    """

    scores: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    fmr: float


def comparisons_needed(fmr: float) -> int:
    """Returns how many impostor comparisons measure a false match rate."""
    return int(np.ceil(MIN_FALSE_MATCHES / fmr - 1e-6))


def lowest_reached(scores: Scores, fmrs: Sequence[float]) -> NDArray[np.float64]:
    """Returns for each FMR the lowest score that no larger share of [M] reaches.

    Scores can tie, because similarities are ratios of counts. If those at the quantile would exceed
    the share, the next number above them is returned.
    """
    first = [scores.size - max(int(fmr * scores.size + 1e-6), 1) for fmr in fmrs]
    ordered = np.partition(scores, sorted({*first, *(max(k - 1, 0) for k in first)}))
    found = [
        np.nextafter(ordered[k], ordered.dtype.type(np.inf))
        if k and ordered[k - 1] == ordered[k]
        else ordered[k]
        for k in first
    ]
    return np.array(found, np.float64)
