"""Calibration of similarities: thresholds with their false match rates, and a temperature."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.decision import posteriors

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""False match rates that `calibrate` measures, if there are enough comparisons."""

MIN_FALSE_MATCHES = 3
"""A rate is measured only if at least this many comparisons are expected above its threshold."""

FPIR_TARGET = 0.01
"""False positive identification rate at which the temperature is fitted: the service's default."""

_TEMPERATURES: tuple[float, ...] = tuple(np.geomspace(0.004, 0.4, 80).tolist())

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
class Calibration:
    """The meaning of one matcher's similarities, measured on validation palms.

    Attributes:
        temperature: a difference of similarities divided by it is a difference of log-odds.
        thresholds: at least one, in the order of falling FMR and rising similarity.
    """

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


def calibrate(
    genuine: Similarities, labels: NDArray[np.integer], impostors: Similarities
) -> Calibration:
    """Measures the thresholds on impostors and fits the temperature on both kinds of probes.

    A threshold is a quantile of the impostors' similarities. The temperature is the one of 80
    between 0.004 and 0.4 with the least mean negative log-likelihood.

    Args:
        genuine: [N, C], similarities of probes of known subjects to the C subjects.
        labels: integers [N], the true columns of `genuine`.
        impostors: [M, C], similarities of probes of nobody among the C subjects.

    Raises:
        ValueError: if the impostors are too few for the first of `FMRS`.
    """
    thresholds = tuple(
        Threshold(float(np.quantile(impostors, 1 - fmr, method="higher")), fmr, impostors.size)
        for fmr in FMRS
        if fmr * impostors.size >= MIN_FALSE_MATCHES
    )
    if not thresholds:
        needed = round(MIN_FALSE_MATCHES / FMRS[0])
        raise ValueError(
            f"{impostors.size} impostor comparisons are too few, {needed} are needed: add strangers"
        )
    return min(
        (Calibration(temperature, thresholds) for temperature in _TEMPERATURES),
        key=lambda one: negative_log_likelihood(one, genuine, labels, impostors).mean(),
    )


def negative_log_likelihood(
    calibration: Calibration,
    genuine: Similarities,
    labels: NDArray[np.integer],
    impostors: Similarities,
) -> NDArray[np.float64]:
    """Returns the negative log-likelihood of every probe's true subject, or of nobody.

    The posteriors are those of an identification among the C subjects at `FPIR_TARGET`.

    Args:
        calibration: the calibration to evaluate.
        genuine: see `calibrate`.
        labels: see `calibrate`.
        impostors: see `calibrate`.

    Returns:
        float64 [N + M], the genuine probes first.
    """
    nobody = calibration.threshold_at(FPIR_TARGET / genuine.shape[1]).similarity
    truth = np.concatenate([labels + 1, np.zeros(len(impostors), labels.dtype)])
    similarities = np.concatenate([genuine, impostors])
    found = posteriors(similarities, nobody, calibration.temperature)
    return -np.log(found[np.arange(len(truth)), truth] + 1e-12)
