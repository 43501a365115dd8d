"""Posteriors and decisions, against values worked out by hand."""

from math import exp

import numpy as np
import pytest

from app.matching.decision import Answers, decide, posteriors

THRESHOLD, TEMPERATURE = 0.4, 0.1


def row(*similarities: float) -> np.ndarray:
    return np.array([similarities], np.float32)


def decide_one(*similarities: float, threshold: float = THRESHOLD) -> Answers:
    return decide(row(*similarities), threshold, TEMPERATURE)


def test_nobody_takes_part_with_the_threshold_as_similarity() -> None:
    total = 1 + exp(-3) + exp(3) + exp(1)

    np.testing.assert_allclose(
        posteriors(row(0.1, 0.7, 0.5), THRESHOLD, TEMPERATURE),
        [[1 / total, exp(-3) / total, exp(3) / total, exp(1) / total]],
        rtol=1e-5,
    )


def test_posteriors_of_several_axes_are_those_of_each_row() -> None:
    similarities = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4)).astype(np.float32)

    found = posteriors(similarities, THRESHOLD, TEMPERATURE)

    assert found.shape == (2, 3, 5)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(
        found[1, 2], posteriors(similarities[1, 2], THRESHOLD, TEMPERATURE)
    )


def test_one_subject_s_confidence_is_the_logistic_of_its_margin() -> None:
    found = decide_one(0.6)

    assert found.decisions.tolist() == ["match"]
    assert found.confidence[0] == pytest.approx(1 / (1 + exp(-(0.6 - 0.4) / 0.1)))


def test_below_the_threshold_the_decision_is_no_match() -> None:
    found = decide_one(0.2, 0.3)

    assert found.decisions.tolist() == ["no_match"]
    assert found.best.tolist() == [1]
    assert found.confidence[0] == pytest.approx(1 / (1 + exp(-2) + exp(-1)))


def test_two_subjects_of_equal_similarity_are_inconclusive() -> None:
    found = decide_one(0.6, 0.6)

    assert found.decisions.tolist() == ["inconclusive"]
    assert found.best.tolist() == [0]
    assert found.confidence[0] == pytest.approx(exp(2) / (1 + 2 * exp(2)), rel=1e-5)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_a_similarity_exactly_at_the_threshold_is_a_match(threshold: float) -> None:
    # Measured thresholds are similarities, which are float32.
    found = decide_one(threshold, threshold=float(np.float32(threshold)))

    assert found.decisions.tolist() == ["match"]
    assert found.confidence.tolist() == [0.5]


def test_without_subjects_the_decision_is_no_match_with_confidence_1() -> None:
    found = decide(np.zeros((2, 0), np.float32), THRESHOLD, TEMPERATURE)

    assert found.decisions.tolist() == ["no_match", "no_match"]
    assert found.best.tolist() == [-1, -1]
    assert found.confidence.tolist() == [1, 1]


def test_every_probe_is_decided_as_if_it_were_alone() -> None:
    rows = [(0.9, 0.1), (0.1, 0.2), (0.7, 0.7), (0.3, 0.5)]

    together = decide(np.array(rows, np.float32), THRESHOLD, TEMPERATURE)

    for position, similarities in enumerate(rows):
        alone = decide_one(*similarities)
        assert together.best[position] == alone.best[0]
        assert together.decisions[position] == alone.decisions[0]
        assert together.confidence[position] == alone.confidence[0]
    assert set(together.decisions) == {"match", "no_match", "inconclusive"}


@pytest.mark.parametrize(("similarity", "surest"), [(0.9, 1), (-0.9, 0)])
def test_tiny_temperatures_do_not_overflow(similarity: float, surest: int) -> None:
    found = posteriors(row(similarity, -1), THRESHOLD, 1e-4)

    assert found[0, surest] == pytest.approx(1)


def test_each_subject_has_its_own_threshold_and_temperature() -> None:
    thresholds, temperatures = np.array([0.4, 0.7]), np.array([0.1, 0.2])
    total = 1 + exp(1) + exp(-1)

    np.testing.assert_allclose(
        posteriors(row(0.5, 0.5), thresholds, temperatures),
        [[1 / total, exp(1) / total, exp(-1) / total]],
        rtol=1e-5,
    )


def test_the_most_similar_subject_is_not_the_best_if_its_threshold_is_higher() -> None:
    found = decide(row(0.55, 0.6), np.array([0.4, 0.65]), TEMPERATURE)

    assert found.best.tolist() == [0]
    assert found.decisions.tolist() == ["match"]


def test_nobody_is_found_if_each_is_below_its_own_threshold() -> None:
    found = decide(row(0.5, 0.6), np.array([0.55, 0.65]), TEMPERATURE)

    assert found.decisions.tolist() == ["no_match"]
