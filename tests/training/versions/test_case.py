"""Thresholds and temperatures that are measured on strangers."""

from dataclasses import replace

import numpy as np
import pytest

from app.matching.calibration import FPIR_TARGET, Calibration, Case, Threshold
from app.matching.impostors import Impostors
from training.versions.case import Trials, calibrate, negative_log_likelihood

THRESHOLDS = (Threshold(0.2, 1e-1), Threshold(0.3, 1e-2), Threshold(0.5, 1e-4))
CASE = Case(mean_map=False, templates=1, probes=1, temperature=0.1, thresholds=THRESHOLDS)


def trials(
    probes: int, subjects: int, *, seed: int = 0, noise: float = 0.1, gain: float = 0.5
) -> Trials:
    rng, own = np.random.default_rng(seed), np.arange(probes) % subjects
    found = rng.normal(0, noise, (probes, subjects)).astype(np.float32)
    found[np.arange(probes), own] += gain
    return Trials(found, own)


def calibrate_one(*styles: Trials) -> Case:
    return calibrate(styles, mean_map=False, templates=1, probes=1)


def test_thresholds_of_one_camera_hold_before_another_where_impostors_vary_twice_as_much() -> None:
    def at_a_site(gain: float, shift: float, seed: int) -> Trials:
        found = trials(300, 60, seed=seed)
        rng = np.random.default_rng(seed + 100)
        cohort = rng.normal(0, 0.1, (100, 100))
        return Trials(gain * found.scores + shift, found.own, gain * cohort + shift)

    calibration = Calibration(
        (calibrate([at_a_site(1, 0, 0)], mean_map=True, templates=1, probes=1),)
    )
    other = at_a_site(2, 0.3, seed=1)
    assert other.cohort is not None
    impostors = Impostors.of(other.cohort)
    limits = calibration.at(1e-2, np.ones(60, int), probes=1, impostors=impostors)
    observed = (other.impostors() >= limits.scores[0]).mean()
    assert 0.7e-2 < observed < 1.3e-2


def test_trials_tell_genuine_from_impostors() -> None:
    found = Trials(np.arange(6.0).reshape(2, 3), np.array([1, 0]))
    assert found.genuine().tolist() == [1, 3]
    assert found.impostors().tolist() == [[0, 2], [4, 5]]


def test_thresholds_are_reached_by_their_share_of_impostors() -> None:
    style = trials(500, 21)  # 10,000 impostor comparisons
    impostors = style.impostors()
    thresholds = calibrate_one(style).thresholds
    assert [t.fmr for t in thresholds] == [1e-1, 1e-2, 1e-3]  # 1e-4: one expected of 10,000
    for threshold in thresholds:
        # The lowest one: the next lower score is reached by more than the rate.
        assert (impostors >= threshold.score).mean() <= threshold.fmr
        lower = impostors[impostors < threshold.score].max()
        assert (impostors >= lower).mean() > threshold.fmr
        assert threshold.comparisons == 10_000


def test_equal_scores_do_not_exceed_the_rate() -> None:
    style = trials(100, 11)
    coarse = Trials(np.round(style.scores * 20) / np.float32(20), style.own)
    for threshold in calibrate_one(coarse).thresholds:
        assert (coarse.impostors() >= threshold.score).mean() <= threshold.fmr


def test_the_style_with_the_higher_scores_counts() -> None:
    low, high = trials(60, 60, seed=1), trials(60, 60, seed=2, noise=0.2)
    assert calibrate_one(low, high).thresholds == calibrate_one(high).thresholds
    assert calibrate_one(low).thresholds[0].score < calibrate_one(high).thresholds[0].score


def test_a_camera_with_few_comparisons_raises_the_thresholds_that_it_cannot_measure() -> None:
    many, few = trials(60, 60), trials(20, 20, seed=3, noise=0.2)
    alone, found = calibrate_one(many).thresholds, calibrate_one(many, few).thresholds
    assert [t.fmr for t in found] == [1e-1, 1e-2, 1e-3]
    assert [t.comparisons for t in found] == [380, 380, 3540]
    raised_by = found[1].score - alone[1].score
    assert found[1] == calibrate_one(few).thresholds[1]
    assert raised_by > 0.1
    assert found[2].score == pytest.approx(alone[2].score + raised_by)


def test_a_camera_with_few_comparisons_and_low_scores_changes_nothing() -> None:
    many, few = trials(60, 60), trials(20, 20, seed=3, noise=0.05)
    alone, found = calibrate_one(many).thresholds, calibrate_one(many, few).thresholds
    assert [t.score for t in found] == [t.score for t in alone]


def test_the_temperature_has_the_least_negative_log_likelihood() -> None:
    style = trials(300, 60, gain=0.4)
    found = calibrate_one(style)

    def mean(temperature: float) -> float:
        return float(negative_log_likelihood(replace(found, temperature=temperature), style).mean())

    assert 0.1 < found.temperature / style.impostors().std() < 10
    assert mean(found.temperature) < min(
        mean(0.9 * found.temperature), mean(1.1 * found.temperature)
    )


def test_a_likelihood_is_that_of_the_posterior_at_the_operating_point() -> None:
    style = Trials(np.array([[0.6, 0.1]]), np.array([0]))
    threshold = CASE.threshold_at(FPIR_TARGET / 2).score
    found = negative_log_likelihood(CASE, style)
    known = np.exp(np.array([threshold, 0.6, 0.1]) / 0.1)
    strange = np.exp(np.array([threshold, 0.1]) / 0.1)
    expected = [known[1] / known.sum(), strange[0] / strange.sum()]
    np.testing.assert_allclose(found, -np.log(expected), rtol=1e-9)


def test_too_few_impostors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"20 impostor comparisons are too few, 30 are needed"):
        calibrate_one(trials(5, 5))
