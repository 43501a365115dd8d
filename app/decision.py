"""From similarities to an answer: one computation for a net, for all nets, for every subject.

"Nobody" takes part as a virtual subject whose similarity is the threshold. So identification
among N subjects, open or closed, and verification (N = 1) are the same softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Decision = Literal["match", "no_match", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity and the false match rate that it was measured to stand for."""

    similarity: float
    fmr: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a net's similarities mean, measured on validation palms.

    Attributes:
        temperature: similarity over temperature is a log-odds.
        thresholds: at least one, in the order of falling FMR and rising similarity.
    """

    temperature: float
    thresholds: tuple[Threshold, ...]

    def threshold_at(self, fmr: float) -> Threshold:
        """The threshold for a false match rate, interpolated over log10(FMR).

        Outside the measured range the nearest end is returned, with the FMR that *it* stands for.
        """
        measured = np.log10([t.fmr for t in self.thresholds])[::-1]
        asked = float(np.clip(np.log10(fmr), measured[0], measured[-1]))
        similarity = np.interp(asked, measured, [t.similarity for t in self.thresholds][::-1])
        return Threshold(float(similarity), float(10**asked))


@dataclass(frozen=True, slots=True)
class Scores:
    """One net's, or the fusion's, view of a probe.

    Attributes:
        similarities: float32 [N], one for each subject, in [-1, 1].
        threshold: the decision threshold.
        temperature: see `Calibration`.
    """

    similarities: Floats
    threshold: Threshold
    temperature: float

    def confidences(self) -> NDArray[np.float64]:
        """Probabilities [1 + N] of nobody (first) and of every subject; their sum is 1.

        softmax([threshold, similarities] / temperature).
        """
        logits = np.r_[self.threshold.similarity, self.similarities].astype(np.float64)
        odds = np.exp((logits - logits.max()) / self.temperature)
        return odds / odds.sum()

    def decide(self) -> Decision:
        """`no_match` below the threshold, `inconclusive` if no one subject is likelier than not."""
        if not len(self.similarities) or self.similarities.max() < self.threshold.similarity:
            return "no_match"
        return "match" if self.confidences()[1:].max() >= 0.5 else "inconclusive"


@dataclass(frozen=True, slots=True)
class Fusion:
    """The sum rule: the nets' similarities, weighted, are the similarity of one more matcher.

    So it has a calibration of its own, measured as a net's is. Kittler et al., "On combining
    classifiers", IEEE TPAMI 20 (1998).

    Attributes:
        weights: one for each net; their sum is 1.
        calibration: what the weighted similarity means.
    """

    weights: tuple[float, ...]
    calibration: Calibration

    def combine(self, nets: Sequence[Scores], fmr: float) -> Scores:
        """The fusion's view of a probe from the nets', all over the same subjects."""
        similarities = np.asarray(self.weights) @ np.stack([net.similarities for net in nets])
        return Scores(
            similarities.astype(np.float32),
            self.calibration.threshold_at(fmr),
            self.calibration.temperature,
        )


def centroid(rows: Floats) -> Floats:
    """Mean [..., D] of unit rows [T, ..., D], at unit length again."""
    mean = rows.mean(axis=0)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return (mean / np.maximum(length, 1e-12)).astype(np.float32)


def are_unit(rows: Floats) -> NDArray[np.bool_]:
    """Which rows [..., D] are of unit length, to 1 %; none that holds a NaN or an infinity is.

    Rounding to bfloat16, the coarsest that an engine may do, moves a length by at most 0.4 %.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(np.linalg.norm(rows, axis=-1) - 1) < 0.01
