"""Turns similarities into decisions.

"Nobody" is treated as one more subject, whose similarity is the threshold. Verification (N = 1)
and identification among N subjects are therefore the same softmax.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Decision = Literal["match", "no_match", "inconclusive"]

MIN_POSTERIOR = 0.5
"""The best subject is a match only if it is at least as probable as all else together."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The decisions on P probes.

    Attributes:
        best: int64 [P], the most similar subject; -1 where there are no subjects.
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
    similarities: NDArray[np.floating], threshold: float, temperature: float
) -> NDArray[np.float64]:
    """Returns the probability of nobody and of every subject.

    softmax([threshold, similarities] / temperature), computed in float64.

    Args:
        similarities: [..., N], one for each subject.
        threshold: the similarity at which nobody and a single subject are equally probable.
        temperature: above 0; see `app.matching.calibration.Calibration`.

    Returns:
        float64 [..., 1 + N], nobody first; the sum over the last axis is 1.
    """
    # In the similarities' dtype, so that a similarity equal to the threshold is equally probable.
    nobody = np.full((*similarities.shape[:-1], 1), threshold, similarities.dtype)
    logits = np.concatenate([nobody, similarities], axis=-1).astype(np.float64)
    odds = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return odds / odds.sum(axis=-1, keepdims=True)


def decide(similarities: NDArray[np.floating], threshold: float, temperature: float) -> Answers:
    """Decides for every probe which subject it belongs to, if any.

    "no_match" if no similarity reaches the threshold; else "match" if the most similar subject's
    posterior is at least `MIN_POSTERIOR`; else "inconclusive".

    Args:
        similarities: [P, N], of P probes to N subjects; N may be 0.
        threshold: see `posteriors`.
        temperature: see `posteriors`.
    """
    found = posteriors(similarities, threshold, temperature)
    probes, subjects = similarities.shape
    if not subjects:
        nobody = np.array(["no_match"] * probes, np.str_)
        return Answers(np.repeat(np.int64(-1), probes), nobody, found[:, 0], found)
    best = similarities.argmax(axis=-1)
    of_best = np.take_along_axis(found, 1 + best[:, None], axis=-1)[:, 0]
    known = np.where(of_best >= MIN_POSTERIOR, "match", "inconclusive")
    decisions = np.where(similarities.max(axis=-1) < threshold, "no_match", known)
    confidence = np.where(decisions == "no_match", found[:, 0], of_best)
    return Answers(best, decisions, confidence, found)
