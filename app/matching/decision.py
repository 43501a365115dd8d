"""Turns scores into decisions.

"Nobody" is treated as one more subject, whose score is the threshold. Verification (N = 1)
and identification among N subjects are therefore the same softmax.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Decision = Literal["match", "no_match", "inconclusive"]

MIN_POSTERIOR = 0.5
"""The best subject is a match only if it is at least as probable as all else together."""

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Answers:
    """The decisions on P probes.

    Attributes:
        best: int64 [P], the most probable subject; -1 where there are no subjects.
        decisions: str [P], each a `Decision`.
        confidence: float64 [P] in [0, 1], the probability of nobody where the decision is
            "no_match", else of the best subject.
        posteriors: float64 [P, 1 + N], see `posteriors`.
    """

    best: NDArray[np.int64]
    decisions: NDArray[np.str_]
    confidence: NDArray[np.float64]
    posteriors: NDArray[np.float64]


def posteriors(
    scores: Array, thresholds: Array | float, temperatures: Array | float
) -> NDArray[np.float64]:
    """Returns the probability of nobody and of every subject.

    softmax([0, (scores - thresholds) / temperatures]), computed in float64.

    Args:
        scores: [..., N], one for each subject.
        thresholds: [N] or one for all; the score at which nobody and a single subject are
            equally probable. It rises with the number of images that a subject has enrolled.
        temperatures: [N] or one for all, above 0; see `app.matching.calibration.Case`.

    Returns:
        float64 [..., 1 + N], nobody first; the sum over the last axis is 1.
    """
    evidence = (scores.astype(np.float64) - thresholds) / temperatures
    logits = np.concatenate([np.zeros((*evidence.shape[:-1], 1)), evidence], axis=-1)
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def decide(scores: Array, thresholds: Array | float, temperatures: Array | float) -> Answers:
    """Decides for every probe which subject it belongs to, if any.

    "no_match" if no score reaches its threshold; else "match" if the most probable subject's
    posterior is at least `MIN_POSTERIOR`; else "inconclusive".

    Args:
        scores: [P, N], of P probes to N subjects; N may be 0.
        thresholds: see `posteriors`.
        temperatures: see `posteriors`.
    """
    found = posteriors(scores, thresholds, temperatures)
    probes, subjects = scores.shape
    if not subjects:
        nobody = np.array(["no_match"] * probes, np.str_)
        return Answers(np.repeat(np.int64(-1), probes), nobody, found[:, 0], found)
    best = found[:, 1:].argmax(axis=-1)
    of_best = np.take_along_axis(found, 1 + best[:, None], axis=-1)[:, 0]
    known = np.where(of_best >= MIN_POSTERIOR, "match", "inconclusive")
    reached = (scores.astype(np.float64) >= thresholds).any(axis=-1)
    decisions = np.where(reached, known, "no_match")
    confidence = np.where(decisions == "no_match", found[:, 0], of_best)
    return Answers(best, decisions, confidence, found)
