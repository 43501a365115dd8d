"""Errors at calibrated thresholds, against counts by hand and intervals of theory."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.calibration import Limits
from tests.training.toy_trials import make_trials
from training.benchmark.comparisons import Comparisons
from training.benchmark.false_matches import FalseMatches, count_false_matches
from training.benchmark.resampling import Weights, draw_subjects


def count(
    similarities: NDArray[np.floating],
    own: NDArray[np.integer],
    thresholds: float | NDArray[np.floating],
    *,
    owners: NDArray[np.integer] | None = None,
    fmr: float = 1e-2,
    weights: Weights | None = None,
) -> FalseMatches:
    identities = similarities.shape[1]
    trials = make_trials(own, np.arange(identities) if owners is None else owners)
    comparisons = Comparisons(similarities.astype(np.float32), trials, pairs_at_once=7)
    limits = Limits(np.broadcast_to(thresholds, identities), np.ones(identities), fmr)
    drawn = draw_subjects(trials.subject_count, 1, 200) if weights is None else weights
    return count_false_matches(comparisons, limits, fmr, drawn)


def test_every_identity_has_its_own_threshold() -> None:
    similarities = np.array([[0.9, 0.5, 0.5], [0.5, 0.4, 0.5], [0.5, 0.5, 0.7]])
    found = count(similarities, np.arange(3), np.array([0.6, 0.5, 0.4]))
    # Others reach the second identity's 0.5 twice and the third's 0.4 twice.
    assert (found.matches, found.comparisons) == (4, 6)
    assert found.fmr.value == pytest.approx(4 / 6)
    assert found.fnmr.value == pytest.approx(1 / 3)


def test_a_subject_s_other_hand_is_no_impostor() -> None:
    similarities = np.array([[0.9, 0.9, 0.1], [0.9, 0.9, 0.9], [0.2, 0.2, 0.9]])
    found = count(similarities, np.arange(3), 0.5, owners=np.array([0, 0, 1]))
    assert (found.matches, found.comparisons) == (1, 4)


@pytest.mark.parametrize(
    ("matches", "fmr", "exceeded"),
    [
        (0, 1e-2, False),
        (9, 1e-2, False),  # 3 times as many as stated are allowed
        (10, 1e-2, True),
        (2, 1e-5, False),  # fewer than three say little
        (3, 1e-5, True),
    ],
)
def test_a_threshold_is_flagged_from_more_than_three_times_the_stated_rate(
    matches: int, fmr: float, exceeded: bool
) -> None:
    similarities = np.zeros((300, 2))
    own = np.zeros(300, int)
    similarities[:, 0] = 1
    similarities[:matches, 1] = 1
    found = count(similarities, own, 0.5, fmr=fmr, weights=np.ones((3, 1)))
    assert (found.matches, found.comparisons, found.exceeded) == (matches, 300, exceeded)


def test_with_independent_comparisons_the_interval_is_as_wide_as_the_binomial_s() -> None:
    rng = np.random.default_rng(3)
    found = count(rng.random((2000, 11)), np.arange(2000) % 10, 0.95)
    half = 1.96 * np.sqrt(0.05 * 0.95 / 20_000)
    assert found.fmr.value == pytest.approx(0.05, abs=3 * half)
    # Ten subjects only: the width of a few resampled values is rough.
    assert half < found.fmr.high - found.fmr.low < 3 * half


def test_without_a_false_match_the_bound_is_that_of_the_comparisons() -> None:
    found = count(np.eye(3), np.arange(3), 0.5)
    assert (found.fmr.value, found.fmr.low, found.fmr.high) == (0, 0, 0.5)
    assert found.fmr.rule_of_three
    assert (found.fmr.count, found.fmr.subjects) == (6, 3)
