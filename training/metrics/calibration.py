"""What a net's similarities mean: false match rates and a temperature, from validation palms."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""False match rates for which thresholds are written, as far as the data support them."""

MIN_FALSE_MATCHES = 3
"""A rate is stated only if at least so many comparisons are expected above its threshold."""

FPIR_TARGET = 0.01
"""Operating point at which temperatures are fitted: the service's default."""

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity, the share of impostor comparisons that reach it, and how many there were."""

    fmr: float
    similarity: float
    comparisons: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What goes into the manifest: a temperature, and thresholds in the order of falling FMR."""

    temperature: float
    thresholds: tuple[Threshold, ...]

    def threshold_at(self, fmr: float) -> float:
        """Similarity for a rate, interpolated over log10(FMR) and clipped to the table's ends."""
        rates = np.log10([t.fmr for t in self.thresholds])[::-1]
        similarities = [t.similarity for t in self.thresholds][::-1]
        return float(np.interp(np.log10(fmr), rates, similarities))

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Reads what `as_manifest` wrote."""
        return cls(manifest["temperature"], tuple(Threshold(**t) for t in manifest["thresholds"]))

    def as_manifest(self) -> dict[str, object]:
        """The manifest's entries."""
        return {"temperature": self.temperature, "thresholds": [asdict(t) for t in self.thresholds]}


def calibrate(genuine: Array, labels: NDArray[np.int32], strangers: Array) -> Calibration:
    """Measures thresholds on strangers and fits the temperature on known palms and strangers.

    Args:
        genuine: similarities [N, C] of known palms' validation images to the C prototypes.
        labels: int32 [N], the true columns.
        strangers: similarities [M, C] of strangers' validation images.

    Returns:
        Thresholds as quantiles of the impostor similarities, and the temperature of the least
        negative log-likelihood of the softmax over [nobody, subjects], "nobody" standing at the
        threshold of `FPIR_TARGET`.
    """
    impostors = strangers.ravel()
    thresholds = tuple(
        Threshold(fmr, float(np.quantile(impostors, 1 - fmr, method="higher")), impostors.size)
        for fmr in FMRS
        if fmr * impostors.size >= MIN_FALSE_MATCHES
    )
    if not thresholds:
        raise ValueError(f"{impostors.size} impostor comparisons are too few: add strangers")
    candidates = [Calibration(t, thresholds) for t in np.geomspace(0.004, 0.4, 80).tolist()]
    return min(candidates, key=lambda one: surprise(one, genuine, labels, strangers).mean())


def surprise(
    calibration: Calibration, genuine: Array, labels: NDArray[np.int32], strangers: Array
) -> Array:
    """Negative log-likelihood of the truth [N + M], of images as `calibrate` takes them."""
    nobody = calibration.threshold_at(FPIR_TARGET / genuine.shape[1])
    truth = np.concatenate([labels + 1, np.zeros(len(strangers), labels.dtype)])
    similarities = np.concatenate([genuine, strangers])
    found = posterior(similarities, nobody, calibration.temperature)
    return -np.log(found[np.arange(len(truth)), truth] + 1e-12)


def posterior(similarities: Array, threshold: float, temperature: float) -> Array:
    """Probabilities [N, 1 + C] of nobody (first) and of every identity, from [N, C]."""
    nobody = np.full((len(similarities), 1), threshold)
    logits = np.concatenate([nobody, similarities], axis=1) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
