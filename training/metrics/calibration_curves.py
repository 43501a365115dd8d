"""Whether a confidence of 90 % is right nine times in ten.

Reliability diagram: M. DeGroot and S. Fienberg, The Statistician 32 (1983). Expected calibration
error: C. Guo et al., "On calibration of modern neural networks" (ICML 2017), equation 3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Rate, Weights
from training.metrics.calibration import FPIR_TARGET, Calibration, posterior

BINS = 15
"""Of equal width, as Guo et al. have them."""

ENROLLED_SHARE = 0.5
"""Of the identities: a confidence depends on how often strangers come, and half is plain to say."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a service with these templates would answer.

    Attributes:
        confidence: float64 [P], the probability that each answer carries.
        right: bool [P], whether it is the probe's identity or, of one not enrolled, nobody.
        enrolled: identities in the gallery.
        strangers: probes of identities that are not.
        inconclusive: answers that name nobody since no one identity is likelier than not; their
            confidence is the best candidate's.
    """

    confidence: Floats
    right: Mask
    enrolled: int
    strangers: int
    inconclusive: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Answers by confidence, in `BINS` bins of equal width.

    Attributes:
        counts: answers in each bin.
        confidence: their mean confidence; None in an empty bin.
        right: the share of them that are right; None in an empty bin.
        ece: expected calibration error.
        answers: enrolled identities, strangers' probes and inconclusive answers.
    """

    counts: list[int]
    confidence: list[float | None]
    right: list[float | None]
    ece: Rate
    answers: dict[str, int]


def answer(comparisons: Comparisons, calibration: Calibration, seed: int) -> Answers:
    """Enrols half of the identities, drawn by lot, and identifies every probe.

    As the service does it: nobody below the threshold for `FPIR_TARGET`, with the probability of
    nobody; else the most similar identity, with its own.

    Args:
        comparisons: of one matcher.
        calibration: of this matcher.
        seed: of the lots.
    """
    own, identities = comparisons.trials.own, comparisons.similarities.shape[1]
    count = max(round(ENROLLED_SHARE * identities), 1)
    chosen = np.random.default_rng(seed).permutation(identities)[:count]
    threshold = calibration.threshold_at(FPIR_TARGET / count)
    parts = []
    for rows in comparisons.blocks():
        similarities = comparisons.similarities[rows][:, chosen]
        odds = posterior(similarities, threshold, calibration.temperature)
        best = similarities.argmax(axis=1)
        somebody = similarities.max(axis=1) >= threshold
        confidence = np.where(somebody, odds[np.arange(len(odds)), 1 + best], odds[:, 0])
        right = np.where(somebody, chosen[best] == own[rows], ~np.isin(own[rows], chosen))
        parts.append((confidence, right, somebody & (confidence < 0.5)))
    confidence, right, unsure = (np.concatenate(part) for part in zip(*parts, strict=True))
    strangers = int((~np.isin(own, chosen)).sum())
    return Answers(confidence, right, count, strangers, int(unsure.sum()))


def measure(answers: Answers, subjects: NDArray[np.int32], weights: Weights) -> Reliability:
    """Reliability by bin, and ECE with its interval.

    Args:
        answers: of one matcher.
        subjects: int32 [P], whose probes.
        weights: of `draw_subjects`, [1 + B, S].
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
    """The bin [P] of each confidence: (m - 1) / 15 to m / 15, the upper end in it."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def expected_calibration_error(counts: Floats, confidence: Floats, right: Floats) -> Floats:
    """ECE [B]: the distance of confidence and accuracy in each bin, weighted by its answers.

    Args:
        counts: answers in each bin [B, M].
        confidence: sum of their confidences [B, M].
        right: how many of them are right [B, M].
    """
    return np.abs(right - confidence).sum(axis=1) / counts.sum(axis=1)
