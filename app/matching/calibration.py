"""Calibration of similarities: thresholds with their false match rates, and temperatures.

The best of several enrolled images is higher, and the mean of several probes varies less, than one
similarity, and impostors are more alike while no mean map is subtracted. Each such case has its
own thresholds, measured on strangers: palms that no net was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.decision import posteriors

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 5e-7)
"""False match rates that `calibrate` measures, if there are enough comparisons. The last one
holds an FPIR of 1 % among 20,000 subjects."""

MIN_FALSE_MATCHES = 3
"""A rate is measured only if at least this many comparisons are expected above its threshold."""

FPIR_TARGET = 0.01
"""False positive identification rate at which the temperature is fitted: the service's default."""

TEMPERATURE_GALLERY = 200
"""Subjects in the galleries for fitting temperatures: about as many as the nets are trained on."""

_TEMPERATURES: tuple[float, ...] = tuple(np.geomspace(0.002, 0.2, 80).tolist())

Similarities = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity and the false match rate at it.

    Attributes:
        similarity: in [-1, 1].
        fmr: share of impostor comparisons that reach the similarity, in (0, 1].
        comparisons: number of impostor comparisons measured; None for an interpolated threshold.
    """

    similarity: float
    fmr: float
    comparisons: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The meaning of similarities in one case.

    Attributes:
        mean_map: whether a mean map is subtracted.
        templates: images enrolled of a subject.
        probes: images of one probe; a case of 2 also holds for more.
        temperature: a difference of similarities divided by it is a difference of log-odds.
        thresholds: at least one, in the order of falling FMR and rising similarity.
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
        similarity = np.interp(asked, measured, [t.similarity for t in self.thresholds][::-1])
        return Threshold(float(similarity), float(10**asked))

    @property
    def tail_slope(self) -> float:
        """Rise of the similarity from the last FMR but one to the last, for a tenth of the FMR."""
        if len(self.thresholds) < 2:
            return 0.0
        looser, stricter = self.thresholds[-2:]
        tenths = float(np.log10(looser.fmr / stricter.fmr))
        return (stricter.similarity - looser.similarity) / tenths


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

    def at(
        self, fmr: float, templates: NDArray[np.integer], *, probes: int, mean_map: bool
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
            mean_map: whether a mean map is subtracted.
        """
        cases = self._cases(probes, mean_map)
        found = [case.threshold_at(fmr) for case in cases]
        counts = np.log([case.templates for case in cases])
        asked = np.log(np.maximum(templates, 1))
        similarities = [one.similarity for one in found]
        if len(cases) > 1:
            rise = (similarities[-1] - similarities[-2]) / (counts[-1] - counts[-2])
        else:
            rise = cases[0].tail_slope / np.log(10)
        above = np.maximum(asked - counts[-1], 0) * max(rise, 0.0)
        return Limits(
            similarities=np.interp(asked, counts, similarities) + above,
            temperatures=np.interp(asked, counts, [case.temperature for case in cases]),
            fmr=max(one.fmr for one in found),
        )

    def _cases(self, probes: int, mean_map: bool) -> list[Case]:
        """Returns the nearest cases, by their number of templates."""
        same = [case for case in self.cases if case.mean_map == mean_map] or list(self.cases)
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
        similarities: float [P, N], every probe to every subject.
        own: integers [P], the column of each probe's own subject.
    """

    similarities: Similarities
    own: NDArray[np.integer]

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

    A threshold is the lowest similarity that no larger share of the impostor comparisons reaches
    than the FMR; the highest among the styles counts. The temperature is the one of 80 between
    0.002 and 0.2 with the least mean negative log-likelihood.

    Args:
        trials: for each style of cameras, its similarities.
        mean_map: see `Case`.
        templates: see `Case`.
        probes: see `Case`.

    Raises:
        ValueError: if the impostors are too few for the first of `FMRS`.
    """
    thresholds = _measure_thresholds([one.impostors().ravel() for one in trials])
    small = [_small_galleries(one) for one in trials]
    return min(
        (Case(mean_map, templates, probes, one, thresholds) for one in _TEMPERATURES),
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
    probes, subjects = trials.similarities.shape
    nobody = case.threshold_at(FPIR_TARGET / subjects).similarity
    known = posteriors(trials.similarities, nobody, case.temperature)
    strange = posteriors(trials.impostors(), nobody, case.temperature)
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
        Threshold(similarity, fmr, fewest)
        for similarity, fmr in zip(highest.tolist(), fmrs, strict=True)
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
