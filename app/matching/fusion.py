"""Score fusion: combines the scores of several nets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.matching.calibration import Calibration
from app.matching.maps import Floats


@dataclass(frozen=True, slots=True)
class Fusion:
    """The weighted sum rule.

    The fused score is calibrated like that of a single net. J. Kittler et al., "On combining
    classifiers", IEEE TPAMI 20 (1998).

    Attributes:
        weights: one for each net; their sum is 1.
        calibration: the meaning of the fused score.
    """

    weights: tuple[float, ...]
    calibration: Calibration

    def combine(self, scores: Sequence[Floats]) -> Floats:
        """Returns the weighted sum of the nets' scores.

        Args:
            scores: for each net float32 [..., N], all of one shape.

        Returns:
            float32 [..., N].
        """
        return weighted_sum(self.weights, scores)


def weighted_sum(weights: Sequence[float], scores: Sequence[Floats]) -> Floats:
    """Returns the weighted sum of the nets' scores; see `Fusion.combine`."""
    rows = np.stack(scores)
    # Summed in float64, the weights' dtype.
    fused = np.asarray(weights) @ rows.reshape(len(rows), -1)
    return fused.astype(np.float32).reshape(rows.shape[1:])
