import numpy as np
import pytest

from training.metrics.calibration import calibrate, posterior
from training.metrics.rates import wilson_interval


def test_thresholds_are_reached_by_their_share_of_impostors() -> None:
    rng = np.random.default_rng(0)
    strangers = rng.normal(0, 0.1, (500, 20))
    genuine = rng.normal(0, 0.1, (200, 20))
    labels = np.arange(200, dtype=np.int32) % 20
    genuine[np.arange(200), labels] += 0.8
    calibration = calibrate(genuine, labels, strangers)
    for threshold in calibration.thresholds:
        share = (strangers >= threshold.similarity).mean()
        assert share == pytest.approx(threshold.fmr, rel=0.35)
        assert threshold.comparisons == 10_000
    assert [t.fmr for t in calibration.thresholds] == [1e-1, 1e-2, 1e-3]  # 1e-4: one in 10,000


def test_threshold_between_two_rates_is_interpolated_in_log_rate() -> None:
    strangers = np.arange(100_000).reshape(1000, 100) / 100_000
    genuine = np.eye(100)
    calibration = calibrate(genuine, np.arange(100, dtype=np.int32), strangers)
    low, high = calibration.threshold_at(1e-2), calibration.threshold_at(1e-3)
    assert calibration.threshold_at(10**-2.5) == pytest.approx((low + high) / 2)
    assert calibration.threshold_at(1e-9) == calibration.thresholds[-1].similarity


def test_posterior_is_the_softmax_with_nobody_at_the_threshold() -> None:
    found = posterior(np.array([[0.5, 0.3]]), threshold=0.4, temperature=0.1)
    odds = np.exp([4, 5, 3])
    np.testing.assert_allclose(found, [odds / odds.sum()])


def test_too_few_strangers_are_refused() -> None:
    with pytest.raises(ValueError, match="4 impostor comparisons are too few"):
        calibrate(np.eye(2), np.arange(2, dtype=np.int32), np.zeros((2, 2)))


def test_wilson_interval_agrees_with_the_published_example() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 1 of 29."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
