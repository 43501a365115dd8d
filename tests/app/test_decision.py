"""Decisions against values worked out by hand."""

from math import exp

import numpy as np
import pytest

from app.decision import Calibration, Fusion, Scores, Threshold, centroid

CALIBRATION = Calibration(0.1, (Threshold(0.2, 1e-1), Threshold(0.3, 1e-2), Threshold(0.5, 1e-4)))


def scores(similarities: list[float], threshold: float = 0.4, temperature: float = 0.1) -> Scores:
    return Scores(np.array(similarities, np.float32), Threshold(threshold, 1e-3), temperature)


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
def test_outside_the_table_the_threshold_states_the_fmr_of_its_end(
    fmr: float, end: Threshold
) -> None:
    threshold = CALIBRATION.threshold_at(fmr)

    assert threshold.similarity == pytest.approx(end.similarity)
    assert threshold.fmr == pytest.approx(end.fmr)


def test_a_centroid_is_the_mean_at_unit_length() -> None:
    found = centroid(np.array([[0, 1], [0.6, 0.8]], np.float32))

    length = (0.6**2 + 1.8**2) ** 0.5
    np.testing.assert_allclose(found, [0.6 / length, 1.8 / length], rtol=1e-6)
    assert found.dtype == np.float32


def test_a_centroid_has_unit_length_in_every_move() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)

    found = centroid(rows)

    for move in range(5):
        np.testing.assert_allclose(found[move], centroid(rows[:, move]), rtol=1e-6)


def test_one_subject_s_confidence_is_the_logistic_of_its_margin() -> None:
    found = scores([0.6])

    assert found.decide() == "match"
    assert found.confidences()[1] == pytest.approx(1 / (1 + exp(-(0.6 - 0.4) / 0.1)))


def test_nobody_takes_part_with_the_threshold_as_similarity() -> None:
    total = 1 + exp(-3) + exp(3) + exp(1)

    np.testing.assert_allclose(
        scores([0.1, 0.7, 0.5]).confidences(),
        [1 / total, exp(-3) / total, exp(3) / total, exp(1) / total],
        rtol=1e-5,
    )


def test_below_the_threshold_it_is_nobody() -> None:
    found = scores([0.2, 0.3])

    assert found.decide() == "no_match"
    assert found.confidences()[0] == pytest.approx(1 / (1 + exp(-2) + exp(-1)))


def test_two_subjects_that_fit_alike_are_inconclusive() -> None:
    found = scores([0.6, 0.6])

    assert found.decide() == "inconclusive"
    assert found.confidences()[1] == pytest.approx(exp(2) / (1 + 2 * exp(2)), rel=1e-5)


def test_reaching_the_threshold_exactly_is_a_match() -> None:
    found = scores([0.5], threshold=0.5)

    assert found.decide() == "match"
    assert found.confidences().tolist() == [0.5, 0.5]


def test_among_no_subjects_it_is_surely_nobody() -> None:
    found = scores([])

    assert found.decide() == "no_match"
    assert found.confidences().tolist() == [1]


@pytest.mark.parametrize(("similarity", "surest"), [(0.9, 1), (-0.9, 0)])
def test_tiny_temperatures_do_not_overflow(similarity: float, surest: int) -> None:
    confidences = scores([similarity, -1], temperature=1e-4).confidences()

    assert confidences[surest] == pytest.approx(1)


def test_fusion_weighs_similarities_and_takes_its_own_threshold() -> None:
    nets = [scores([1.0, 0.2], temperature=0.1), scores([0.0, 0.6], temperature=0.3)]

    fused = Fusion((0.75, 0.25), CALIBRATION).combine(nets, fmr=1e-3)

    assert fused.similarities.tolist() == pytest.approx([0.75, 0.3])
    assert fused.threshold.similarity == pytest.approx(0.4)
    assert fused.threshold.fmr == pytest.approx(1e-3)
    assert fused.temperature == 0.1


def test_fusing_one_net_changes_nothing() -> None:
    alone = scores([0.1, 0.6])

    fused = Fusion((1.0,), CALIBRATION).combine([alone], fmr=1e-3)

    assert fused.similarities.tolist() == alone.similarities.tolist()
    assert fused.threshold.similarity == pytest.approx(alone.threshold.similarity)
    assert fused.temperature == alone.temperature
