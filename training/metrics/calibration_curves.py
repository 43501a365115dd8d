"""Reliability of confidences: whether 90 % of the answers with 90 % confidence are right.

Reliability diagram: M. DeGroot and S. Fienberg, The Statistician 32 (1983). Expected calibration
error: C. Guo et al., "On calibration of modern neural networks" (ICML 2017), equation 3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FPIR_TARGET, Calibration
from app.matching.decision import decide
from app.matching.impostors import Impostors
from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Rate, Weights

BINS = 15
"""Number of bins of equal width, as in Guo et al."""

ENROLLED_SHARE = 0.5
"""Share of the identities that are enrolled. Confidences depend on the share of strangers."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class IdentificationAnswers:
    """The service's answers to all probes, with some identities enrolled.

    Attributes:
        confidence: float64 [P], the confidence of each answer.
        right: bool [P], whether the answer is the probe's identity or, for a stranger, "no match".
            The answer of an inconclusive decision is its best candidate.
        enrolled: number of identities in the gallery.
        strangers: number of probes of identities that are not enrolled.
        inconclusive: number of inconclusive answers.
        fmr: false match rate at the thresholds: the one that the service asks for, or the nearest
            that was calibrated.
    """

    confidence: Floats
    right: Mask
    enrolled: int
    strangers: int
    inconclusive: int
    fmr: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Answers by confidence, in `BINS` bins of equal width.

    Attributes:
        counts: answers in each bin.
        confidence: mean confidence in each bin; None in an empty one.
        right: share of right answers in each bin; None in an empty one.
        ece: expected calibration error.
        answers: numbers of enrolled identities, strangers' probes and inconclusive answers.
    """

    counts: list[int]
    confidence: list[float | None]
    right: list[float | None]
    ece: Rate
    answers: dict[str, int]


def identify_probes(
    comparisons: Comparisons, calibration: Calibration, seed: int, *, impostors: Impostors | None
) -> IdentificationAnswers:
    """Enrolls a random half of the identities and decides on every probe as the service does.

    Args:
        comparisons: the similarities of one matcher.
        calibration: the calibration of that matcher.
        seed: seed of the choice of enrolled identities.
        impostors: the impostors of these identities, if a mean map was subtracted.
    """
    own, identities = comparisons.trials.own, comparisons.similarities.shape[1]
    count = max(round(ENROLLED_SHARE * identities), 1)
    chosen = np.random.default_rng(seed).permutation(identities)[:count]
    limits = calibration.at(
        FPIR_TARGET / count,
        comparisons.trials.template_counts[chosen],
        probes=1,
        impostors=impostors,
    )
    unknown = ~np.isin(own, chosen)
    parts = []
    for rows in comparisons.blocks():
        similarities = comparisons.similarities[rows][:, chosen]
        answers = decide(similarities, limits.scores, limits.temperatures)
        named = answers.decisions != "no_match"
        right = np.where(named, chosen[answers.best] == own[rows], unknown[rows])
        parts.append((answers.confidence, right, answers.decisions == "inconclusive"))
    confidence, right, inconclusive = (np.concatenate(part) for part in zip(*parts, strict=True))
    return IdentificationAnswers(
        confidence, right, count, int(unknown.sum()), int(inconclusive.sum()), limits.fmr
    )


def measure_reliability(
    answers: IdentificationAnswers, subjects: NDArray[np.int32], weights: Weights
) -> Reliability:
    """Returns the reliability in each bin, and the ECE with its 95 % interval.

    Args:
        answers: the answers of one matcher.
        subjects: int32 [P], the subject of each probe.
        weights: float64 [1 + B, S], from `draw_subjects`.
    """
    cell = subjects * BINS + bin_of(answers.confidence)
    shape = (weights.shape[1], BINS)
    counts, confidence, right = (
        weights @ np.bincount(cell, values, shape[0] * BINS).reshape(shape)
        for values in (np.ones(len(cell)), answers.confidence, answers.right)
    )
    errors = expected_calibration_error(counts, confidence, right)
    some = np.maximum(counts[0], 1)
    means = [
        [float(value) if n else None for value, n in zip(sums[0] / some, counts[0], strict=True)]
        for sums in (confidence, right)
    ]
    return Reliability(
        counts=counts[0].astype(int).tolist(),
        confidence=means[0],
        right=means[1],
        ece=Rate.of(float(errors[0]), errors[1:], len(cell), shape[0]),
        answers={
            "enrolled": answers.enrolled,
            "strangers_probes": answers.strangers,
            "inconclusive": answers.inconclusive,
        },
    )


def bin_of(confidence: Floats) -> NDArray[np.int64]:
    """Returns the bin [P] of each confidence; bin m holds (m / 15, (m + 1) / 15]."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def expected_calibration_error(counts: Floats, confidence: Floats, right: Floats) -> Floats:
    """Returns the ECE [B]: the mean distance of confidence and accuracy, weighted by answers.

    Args:
        counts: [B, M], number of answers in each bin.
        confidence: [B, M], sum of the confidences in each bin.
        right: [B, M], number of right answers in each bin.
    """
    return np.abs(right - confidence).sum(axis=1) / counts.sum(axis=1)
