"""The weighted sum of similarities."""

import numpy as np
import pytest

from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion

CALIBRATION = Calibration((Case(False, 1, 1, 0.1, (Threshold(0.2, 1e-1),)),))


def row(*similarities: float) -> np.ndarray:
    return np.array(similarities, np.float32)


def test_similarities_are_summed_with_the_nets_weights() -> None:
    fused = Fusion((0.75, 0.25), CALIBRATION).combine([row(1.0, 0.2), row(0.0, 0.6)])

    assert fused.tolist() == pytest.approx([0.75, 0.3])
    assert fused.dtype == np.float32


def test_one_net_s_similarities_are_unchanged() -> None:
    alone = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(np.float32)

    np.testing.assert_array_equal(Fusion((1.0,), CALIBRATION).combine([alone]), alone)


def test_several_probes_are_fused_like_each_of_them() -> None:
    nets = list(np.random.default_rng(0).uniform(-1, 1, (3, 2, 5)).astype(np.float32))
    fusion = Fusion((0.5, 0.25, 0.25), CALIBRATION)

    fused = fusion.combine(nets)

    assert fused.shape == (2, 5)
    for probe in range(2):
        np.testing.assert_array_equal(fused[probe], fusion.combine([net[probe] for net in nets]))


def test_without_subjects_there_is_nothing_to_fuse() -> None:
    nobody = np.zeros((1, 0), np.float32)

    assert Fusion((0.5, 0.5), CALIBRATION).combine([nobody, nobody]).shape == (1, 0)
