"""Evaluates a trained net on the test part of a split."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.split import Split
from training.fit.devices import compiled
from training.fit.outputs import predict
from training.metrics.open_set import compiled_embedder, measure_open_set
from training.metrics.rates import wilson_interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a net on a test part.

    Attributes:
        metrics: for a split by identity `rank_1` and `eer`, in [0, 1]; for any other split
            `images`, `correct`, `accuracy`, `accuracy_interval` (95 %) and `top_5`.
        scores: float32 [N, C], similarities or probabilities; None for a split by identity.
    """

    metrics: dict[str, Any]
    scores: NDArray[np.float32] | None

    def __str__(self) -> str:
        """Returns the main figure with its count."""
        if self.scores is None:
            return (
                f"rank-1 {self.metrics['rank_1']:.1%} and equal error rate "
                f"{self.metrics['eer']:.2%} on test identities that it was not trained on"
            )
        low, high = self.metrics["accuracy_interval"]
        return (
            f"test accuracy {self.metrics['accuracy']:.1%} ({self.metrics['correct']:,} of "
            f"{self.metrics['images']:,}, 95 % interval {low:.1%} to {high:.1%})"
        )


def evaluate(net: keras.Model, split: Split) -> Evaluation:
    """Returns the figures of a net on the test part of the split that it was trained on.

    Args:
        net: model from images to similarities or probabilities, from `scoring_model`.
        split: the split; its test part is measured.
    """
    if split.kind == "identity":
        return Evaluation(measure_open_set(compiled_embedder(net), split.test), None)
    scores = predict(compiled(net), split.test)
    return Evaluation(count_correct(scores, split.test.labels), scores)


def count_correct(scores: NDArray[np.float32], labels: NDArray[np.int32]) -> dict[str, Any]:
    """Returns the accuracy with its counts and 95 % interval, and the top-5 accuracy.

    Args:
        scores: float32 [N, C]; higher is more similar.
        labels: int32 [N], columns of the true identities.
    """
    order = np.argsort(-scores, axis=1)
    correct = int((order[:, 0] == labels).sum())
    return {
        "images": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "accuracy_interval": wilson_interval(correct, len(labels)),
        "top_5": float((order[:, :5] == labels[:, None]).any(axis=1).mean()),
    }
