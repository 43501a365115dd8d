"""Calibration of similarities: thresholds with their false match rates, and temperatures.

The best of several enrolled images is higher, and the mean of several probes varies less, than one
similarity, and impostors are more alike while no mean map is subtracted. Each such case has its
own thresholds, measured on strangers: palms that no net was trained on.

With a mean map there are enough subjects to know how alike impostors are before the site's camera.
Thresholds then count deviations above that mean (`app.matching.impostors`); without, similarities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.decision import posteriors
from app.matching.impostors import Impostors

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 5e-7)
"""False match rates that `calibrate` measures, if there are enough comparisons. The last one
holds an FPIR of 1 % among 20,000 subjects."""

MIN_FALSE_MATCHES = 3
"""A rate is measured only if at least this many comparisons are expected above its threshold."""

FPIR_TARGET = 0.01
"""False positive identification rate at which the temperature is fitted: the service's default."""

TEMPERATURE_GALLERY = 200
"""Subjects in the galleries for fitting temperatures: about as many as the nets are trained on."""

_TEMPERATURES: tuple[float, ...] = tuple(np.geomspace(0.1, 10, 80).tolist())  # in deviations

Similarities = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score and the false match rate at it.

    Attributes:
        score: a similarity in [-1, 1] or, in a case with a mean map, deviations above the mean of
            the site's impostors.
        fmr: share of impostor comparisons that reach the score, in (0, 1].
        comparisons: number of impostor comparisons measured; None for an interpolated threshold.
    """

    score: float
    fmr: float
    comparisons: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The meaning of similarities in one case.

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
        measured = np.log10([t.fmr for t in self.thresholds])[::-1]
        asked = float(np.clip(np.log10(fmr), measured[0], measured[-1]))
        score = np.interp(asked, measured, [t.score for t in self.thresholds][::-1])
        return Threshold(float(score), float(10**asked))

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
    """The meaning of one matcher's similarities, in every case.

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
        """Returns what each subject's similarity must reach for a false match rate.

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
            similarities=scale.mean + scale.deviation * (np.interp(asked, counts, scores) + above),
            temperatures=scale.deviation * temperatures,
            fmr=max(one.fmr for one in found),
        )

    def _cases(self, probes: int, mean_map: bool) -> list[Case]:
        """Returns the nearest cases, by their number of templates."""
        same = [case for case in self.cases if case.mean_map == mean_map]
        most = max((case.probes for case in same if case.probes <= probes), default=1)
        chosen = [case for case in same if case.probes == most] or same
        return sorted(chosen, key=lambda case: case.templates)


@dataclass(frozen=True, slots=True)
class Limits:
    """What N subjects' similarities must reach.

    Attributes:
        similarities: float64 [N].
        temperatures: float64 [N].
        fmr: the false match rate at these similarities: the one that was asked for, or the nearest
            that was measured.
    """

    similarities: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    fmr: float


@dataclass(frozen=True, slots=True)
class Trials:
    """The similarities of strangers to each other, in one case and one style of cameras.

    Attributes:
        similarities: float [P, N], every probe to every subject; or scores, see `scaled`.
        own: integers [P], the column of each probe's own subject.
        cohort: float [M, M], similarities between subjects of the mean map, see `Impostors.of`;
            None if no mean map was subtracted.
    """

    similarities: Similarities
    own: NDArray[np.integer]
    cohort: Similarities | None = None

    def scaled(self) -> "Trials":
        """Returns the scores: deviations above the cohort's mean, if there is a cohort."""
        if self.cohort is None:
            return self
        of = Impostors.of(self.cohort)
        return Trials((self.similarities - of.mean) / of.deviation, self.own)

    def genuine(self) -> Similarities:
        """Returns [P], the similarity of each probe to its own subject."""
        return self.similarities[np.arange(len(self.own)), self.own]

    def impostors(self) -> Similarities:
        """Returns [P, N - 1], the similarities of each probe to all other subjects."""
        others = np.ones(self.similarities.shape, bool)
        others[np.arange(len(self.own)), self.own] = False
        return self.similarities[others].reshape(len(self.own), -1)


def calibrate(trials: Sequence[Trials], *, mean_map: bool, templates: int, probes: int) -> Case:
    """Measures the thresholds and fits the temperature of one case.

    A threshold is the lowest score that no larger share of the impostor comparisons reaches than
    the FMR; the highest among the styles counts. The temperature is the one of 80, from 0.1 to 10
    deviations of the impostors, with the least mean negative log-likelihood.

    Args:
        trials: for each style of cameras, its similarities, with a cohort if there is a mean map.
        mean_map: see `Case`.
        templates: see `Case`.
        probes: see `Case`.

    Raises:
        ValueError: if the impostors are too few for the first of `FMRS`.
    """
    scores = [one.scaled() for one in trials]
    impostors = [one.impostors().ravel() for one in scores]
    thresholds = _measure_thresholds(impostors)
    deviation = max(float(np.mean([one.std() for one in impostors])), 1e-3)
    small = [_small_galleries(one) for one in scores]
    return min(
        (Case(mean_map, templates, probes, deviation * t, thresholds) for t in _TEMPERATURES),
        key=lambda case: np.mean([negative_log_likelihood(case, own).mean() for own in small]),
    )


def negative_log_likelihood(case: Case, trials: Trials) -> NDArray[np.float64]:
    """Returns the negative log-likelihood of the truth about every probe, known and unknown.

    Every probe is identified twice at `FPIR_TARGET`: among all N subjects, and among the N - 1
    others as a stranger.

    Args:
        case: the calibration to evaluate.
        trials: similarities of P probes to N subjects.

    Returns:
        float64 [2 P], the searches for known subjects first.
    """
    scores = trials.scaled()
    probes, subjects = scores.similarities.shape
    nobody = case.threshold_at(FPIR_TARGET / subjects).score
    known = posteriors(scores.similarities, nobody, case.temperature)
    strange = posteriors(scores.impostors(), nobody, case.temperature)
    truth = np.concatenate([known[np.arange(probes), 1 + trials.own], strange[:, 0]])
    return -np.log(truth + 1e-12)


def comparisons_needed(fmr: float) -> int:
    """Returns how many impostor comparisons measure a false match rate."""
    return int(np.ceil(MIN_FALSE_MATCHES / fmr - 1e-6))


def _measure_thresholds(styles: Sequence[Similarities]) -> tuple[Threshold, ...]:
    fewest = min(one.size for one in styles)
    fmrs = [fmr for fmr in FMRS if fewest >= comparisons_needed(fmr)]
    if not fmrs:
        raise ValueError(
            f"{fewest} impostor comparisons are too few, {comparisons_needed(FMRS[0])} are needed: "
            "add strangers"
        )
    highest = np.max([lowest_reached(one, fmrs) for one in styles], axis=0)
    return tuple(
        Threshold(score, fmr, fewest) for score, fmr in zip(highest.tolist(), fmrs, strict=True)
    )


def lowest_reached(similarities: Similarities, fmrs: Sequence[float]) -> NDArray[np.float64]:
    """Returns for each FMR the lowest similarity that no larger share of [M] reaches.

    Many similarities are equal, because they count places. If those at the quantile would exceed
    the share, the next number above them is returned.
    """
    first = [similarities.size - max(int(fmr * similarities.size + 1e-6), 1) for fmr in fmrs]
    ordered = np.partition(similarities, sorted({*first, *(max(k - 1, 0) for k in first)}))
    found = [
        np.nextafter(ordered[k], ordered.dtype.type(np.inf))
        if k and ordered[k - 1] == ordered[k]
        else ordered[k]
        for k in first
    ]
    return np.array(found, np.float64)


def _small_galleries(trials: Trials) -> Trials:
    """Returns the trials of the first `TEMPERATURE_GALLERY` subjects among each other."""
    kept = trials.own < TEMPERATURE_GALLERY
    return Trials(trials.similarities[kept, :TEMPERATURE_GALLERY], trials.own[kept])
