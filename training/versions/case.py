"""Measures one case on strangers: its thresholds and its temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import (
    FMRS,
    FPIR_TARGET,
    Case,
    Threshold,
    comparisons_needed,
    lowest_reached,
)
from app.matching.decision import posteriors
from app.matching.impostors import Impostors

TEMPERATURE_GALLERY = 200
"""Subjects in the galleries for fitting temperatures: about as many as the nets are trained on."""

_TEMPERATURES: tuple[float, ...] = tuple(np.geomspace(0.1, 10, 80).tolist())  # in deviations


Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Trials:
    """The scores of strangers with each other, in one case and before one camera.

    Attributes:
        scores: float [P, N], every probe with every subject; or deviations, see `scaled`.
        own: integers [P], the column of each probe's own subject.
        cohort: float [M, M], scores between subjects of the mean map, see `Impostors.of`;
            None if no mean map was subtracted.
    """

    scores: Scores
    own: NDArray[np.integer]
    cohort: Scores | None = None

    def scaled(self) -> "Trials":
        """Returns the deviations above the cohort's mean, if there is a cohort."""
        if self.cohort is None:
            return self
        of = Impostors.of(self.cohort)
        return Trials((self.scores - of.mean) / of.deviation, self.own)

    def genuine(self) -> Scores:
        """Returns [P], the score of each probe with its own subject."""
        return self.scores[np.arange(len(self.own)), self.own]

    def impostors(self) -> Scores:
        """Returns [P, N - 1], the scores of each probe with all other subjects."""
        others = np.ones(self.scores.shape, bool)
        others[np.arange(len(self.own)), self.own] = False
        return self.scores[others].reshape(len(self.own), -1)


def calibrate(trials: Sequence[Trials], *, mean_map: bool, templates: int, probes: int) -> Case:
    """Measures the thresholds and fits the temperature of one case.

    A threshold is the lowest score that no larger share of the impostor comparisons reaches than
    the FMR; the highest among the cameras counts. The temperature is the one of 80, from 0.1 to 10
    deviations of the impostors, with the least mean negative log-likelihood.

    Args:
        trials: for each camera, its scores, with a cohort if there is a mean map.
        mean_map: see `Case`.
        templates: see `Case`.
        probes: see `Case`.

    Raises:
        ValueError: if the impostors are too few for the first of `FMRS`.
    """
    scaled = [one.scaled() for one in trials]
    impostors = [one.impostors().ravel() for one in scaled]
    thresholds = _measure_thresholds(impostors)
    deviation = max(float(np.mean([one.std() for one in impostors])), 1e-3)
    small = [_small_galleries(one) for one in scaled]
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
        trials: scores of P probes with N subjects.

    Returns:
        float64 [2 P], the searches for known subjects first.
    """
    scaled = trials.scaled()
    probes, subjects = scaled.scores.shape
    nobody = case.threshold_at(FPIR_TARGET / subjects).score
    known = posteriors(scaled.scores, nobody, case.temperature)
    strange = posteriors(scaled.impostors(), nobody, case.temperature)
    truth = np.concatenate([known[np.arange(probes), 1 + trials.own], strange[:, 0]])
    return -np.log(truth + 1e-12)


def _measure_thresholds(cameras: Sequence[Scores]) -> tuple[Threshold, ...]:
    """Returns the highest threshold of all cameras for each rate that one of them measures.

    A camera with fewer comparisons does not measure the lowest rates. What it adds to the threshold
    of the lowest rate that it measures is added at all lower rates.
    """
    able = {
        fmr: [i for i, one in enumerate(cameras) if one.size >= comparisons_needed(fmr)]
        for fmr in FMRS
    }
    fewest = min(one.size for one in cameras)
    if len(able[FMRS[0]]) < len(cameras):
        raise ValueError(
            f"{fewest} impostor comparisons are too few, {comparisons_needed(FMRS[0])} are needed: "
            "add strangers"
        )
    fmrs = [fmr for fmr in FMRS if able[fmr]]
    scores = [lowest_reached(one, fmrs) for one in cameras]
    found: list[Threshold] = []
    raised_by = 0.0
    for number, fmr in enumerate(fmrs):
        if number:
            former = [float(scores[i][number - 1]) for i in able[fmrs[number - 1]]]
            raised_by += max(former) - max(float(scores[i][number - 1]) for i in able[fmr])
        score = max(float(scores[i][number]) for i in able[fmr]) + raised_by
        found.append(Threshold(score, fmr, min(cameras[i].size for i in able[fmr])))
    return tuple(found)


def _small_galleries(trials: Trials) -> Trials:
    """Returns the trials of the first `TEMPERATURE_GALLERY` subjects among each other."""
    kept = trials.own < TEMPERATURE_GALLERY
    return Trials(trials.scores[kept, :TEMPERATURE_GALLERY], trials.own[kept])
