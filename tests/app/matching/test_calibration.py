"""Thresholds, temperatures and likelihoods, against values worked out by hand."""

import numpy as np
import pytest

from app.matching.calibration import (
    FPIR_TARGET,
    Calibration,
    Threshold,
    calibrate,
    negative_log_likelihood,
)

CALIBRATION = Calibration(0.1, (Threshold(0.2, 1e-1), Threshold(0.3, 1e-2), Threshold(0.5, 1e-4)))


@pytest.mark.parametrize(
    ("fmr", "similarity"),
    [(1e-1, 0.2), (1e-2, 0.3), (1e-4, 0.5), (1e-3, 0.4), (10**-1.5, 0.25), (10**-3.5, 0.45)],
)
def test_a_threshold_is_linear_in_the_logarithm_of_the_fmr(fmr: float, similarity: float) -> None:
    threshold = CALIBRATION.threshold_at(fmr)

    assert threshold.similarity == pytest.approx(similarity)
    assert threshold.fmr == pytest.approx(fmr)


@pytest.mark.parametrize(
    ("fmr", "end"), [(0.5, Threshold(0.2, 1e-1)), (1e-9, Threshold(0.5, 1e-4))]
)
def test_outside_the_measured_range_a_threshold_is_that_of_the_end(
    fmr: float, end: Threshold
) -> None:
    threshold = CALIBRATION.threshold_at(fmr)

    assert threshold.similarity == pytest.approx(end.similarity)
    assert threshold.fmr == pytest.approx(end.fmr)


def test_thresholds_are_reached_by_their_share_of_impostors() -> None:
    rng = np.random.default_rng(0)
    impostors = rng.normal(0, 0.1, (500, 20))
    genuine = rng.normal(0, 0.1, (200, 20))
    labels = np.arange(200) % 20
    genuine[np.arange(200), labels] += 0.8

    thresholds = calibrate(genuine, labels, impostors).thresholds

    assert [t.fmr for t in thresholds] == [1e-1, 1e-2, 1e-3]  # 1e-4: one expected of 10,000
    for threshold in thresholds:
        # The sharpest quantile: the next lower similarity is reached by more than the rate.
        assert (impostors >= threshold.similarity).mean() <= threshold.fmr
        lower = impostors[impostors < threshold.similarity].max()
        assert (impostors >= lower).mean() > threshold.fmr
        assert threshold.comparisons == 10_000


def test_the_temperature_has_the_least_negative_log_likelihood() -> None:
    rng = np.random.default_rng(0)
    genuine, impostors = rng.normal(0.1, 0.1, (2, 300, 10))
    labels = np.arange(300) % 10
    genuine[np.arange(300), labels] += 0.3

    found = calibrate(genuine, labels, impostors)

    def mean(temperature: float) -> float:
        other = Calibration(temperature, found.thresholds)
        return float(negative_log_likelihood(other, genuine, labels, impostors).mean())

    assert 0.004 < found.temperature < 0.4
    assert mean(found.temperature) < min(
        mean(0.9 * found.temperature), mean(1.1 * found.temperature)
    )


def test_a_likelihood_is_that_of_the_posterior_at_the_operating_point() -> None:
    genuine, impostors = np.array([[0.6, 0.1]]), np.array([[0.2, 0.1]])
    threshold = CALIBRATION.threshold_at(FPIR_TARGET / 2).similarity

    found = negative_log_likelihood(CALIBRATION, genuine, np.array([0]), impostors)

    odds = np.exp((np.array([[threshold, 0.6, 0.1], [threshold, 0.2, 0.1]])) / 0.1)
    expected = [odds[0, 1] / odds[0].sum(), odds[1, 0] / odds[1].sum()]
    np.testing.assert_allclose(found, -np.log(expected), rtol=1e-9)


def test_too_few_impostors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 impostor comparisons are too few, 30 are needed"):
        calibrate(np.eye(2), np.arange(2), np.zeros((2, 2)))
