"""Error rates against scikit-learn's ROC and cases counted by hand; intervals against theory."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from tests.training.toy_palms import make_palms
from tests.training.toy_trials import make_trials
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.resampling import Rate, draw_subjects, share
from training.benchmark.verification import (
    choose_thresholds,
    eer_of,
    fnmr_at,
    fnmr_at_fmr,
    highest,
    is_stated,
    lowest_threshold,
    tally,
)
from training.metrics.rates import equal_error_rate

Array = NDArray[np.floating]


def comparisons(decimals: int = 7) -> Comparisons:
    """Thirty probes of each of 21 hands of 20 persons, with a few errors."""
    rng = np.random.default_rng(1)
    own = np.repeat(np.arange(21), 30).astype(np.int32)
    owners = np.minimum(np.arange(21), 19).astype(np.int32)
    similarities = rng.normal(0, 0.15, (len(own), 21))
    similarities[np.arange(len(own)), own] += 0.5
    found = similarities.round(decimals).astype(np.float32)
    return Comparisons(found, make_trials(own, owners))


def by_scikit_learn(one: Comparisons) -> tuple[Array, Array, Array]:
    """FMR, FNMR and thresholds of all points of the ROC."""
    impostors = np.concatenate(list(one.impostors()))
    truth = np.r_[np.ones(len(one.trials.own)), np.zeros(len(impostors))]
    scores = np.r_[one.genuine(), impostors]
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    return fpr, 1 - tpr, thresholds


@pytest.mark.parametrize("decimals", [7, 2, 1])  # with few there are many ties
def test_det_and_eer_are_those_of_scikit_learn_s_roc(decimals: int) -> None:
    one = comparisons(decimals=decimals)
    fmr, fnmr, thresholds = by_scikit_learn(one)
    tail = highest(one.impostors(), 200)
    # At the ROC's own thresholds, in rising order; the first of them is infinity, our last.
    counted = tally(one, np.unique(np.r_[one.similarities.min(), thresholds]))
    ours = counted.rates(np.ones((1, one.trials.subject_count)))
    np.testing.assert_allclose(ours[0][0, ::-1][: len(fmr)], fmr, atol=1e-12)
    np.testing.assert_allclose(ours[1][0, ::-1][: len(fmr)], fnmr, atol=1e-12)
    expected = np.maximum(fmr, fnmr).min()
    assert 0 < expected < 0.2
    assert equal_error_rate(one.genuine(), one.impostors()) == pytest.approx(expected, abs=1e-12)
    chosen = tally(one, choose_thresholds(one, tail, []))
    approximate = eer_of(*chosen.rates(np.ones((1, one.trials.subject_count))))[0]
    assert expected - 1e-12 <= approximate <= 1.05 * expected + 1e-12


@pytest.mark.parametrize("rate", [1e-2, 1e-3])
@pytest.mark.parametrize("decimals", [7, 2])
def test_fnmr_at_fmr_is_the_best_point_of_scikit_learn_s_roc(rate: float, decimals: int) -> None:
    one = comparisons(decimals=decimals)
    fmr, fnmr, _ = by_scikit_learn(one)
    expected = fnmr[fmr <= rate].min()
    assert expected > 0
    tail, count = highest(one.impostors(), 200), 570 * 20 + 60 * 19
    at = lowest_threshold(tail, rate, count)
    assert at is not None
    assert fnmr_at(one.genuine(), at) == pytest.approx(expected, abs=1e-12)
    rates = tally(one, choose_thresholds(one, tail, [at])).rates(np.ones((1, 20)))
    assert fnmr_at_fmr(*rates, rate)[0] == pytest.approx(expected, abs=1e-12)


def test_a_threshold_is_the_lowest_that_the_allowed_share_reaches() -> None:
    # 1 % of 300 is 3: the fourth must not match, nor any that ties with it.
    falling = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    assert lowest_threshold(falling, 0.01, 300) == np.nextafter(np.float32(0.6), np.float32(1))
    tied = np.array([0.9, 0.8, 0.8, 0.8, 0.5], np.float32)
    assert lowest_threshold(tied, 0.01, 300) == np.nextafter(np.float32(0.8), np.float32(1))


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-4])
def test_a_rate_is_stated_from_three_expected_errors(rate: float) -> None:
    enough = round(3 / rate)
    assert is_stated(rate, enough)
    assert not is_stated(rate, enough - 1)
    assert lowest_threshold(np.zeros(9, np.float32), rate, enough - 1) is None


def test_the_highest_similarities_are_found_block_by_block() -> None:
    values = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    found = highest(np.split(values, [1, 1, 300, 650]), 40)
    np.testing.assert_array_equal(found, np.sort(values)[::-1][:40])
    assert len(highest([values], 2000)) == 1000


@pytest.mark.parametrize("pairs_at_once", [1, 100])
def test_the_size_of_a_block_does_not_change_the_counts(pairs_at_once: int) -> None:
    one = comparisons()
    thresholds = choose_thresholds(one, highest(one.impostors(), 200), [])
    expected = tally(one, thresholds)
    found = tally(replace(one, pairs_at_once=pairs_at_once), thresholds)
    np.testing.assert_array_equal(found.genuine, expected.genuine)
    np.testing.assert_array_equal(found.impostors, expected.impostors)


def test_a_person_s_other_hand_is_no_impostor() -> None:
    one = comparisons()
    # Twenty others for each of 570 probes; of the 60 of the last person's hands, 19.
    assert sum(len(block) for block in one.impostors()) == 570 * 20 + 60 * 19
    counted = tally(one, choose_thresholds(one, highest(one.impostors(), 9), []))
    assert counted.impostors[:, 0].tolist() == [30 * 20] * 19 + [60 * 19]
    assert counted.genuine[:, 0].tolist() == [30] * 19 + [60]


def test_hands_of_one_person_are_one_subject() -> None:
    palms = make_palms(4, sessions=2, shots=1)
    hands = (palms.labels % 2).astype(np.int8)
    hands[palms.labels == 3] = -1  # unknown: its name is then the person's
    palms = replace(palms, identities=("007-L", "007-R", "008-L", "009-R"), hands=hands)
    trials = Trials.of(palms, palms.sessions == 0)
    assert trials.owners.tolist() == [0, 0, 1, 2]
    assert trials.subjects.tolist() == [0, 0, 1, 2]
    assert trials.own.tolist() == [0, 1, 2, 3]


def test_subjects_without_a_probe_are_numbered_last() -> None:
    palms = make_palms(3, sessions=2, shots=1)
    palms = palms.select((palms.labels != 0) | (palms.sessions == 0))
    trials = Trials.of(palms, palms.sessions == 0)
    assert (trials.owners.tolist(), trials.subject_count) == ([2, 0, 1], 2)


@pytest.mark.parametrize(
    ("most", "kept"), [(1, [0, 6]), (2, [0, 1, 6, 7]), (9, [0, 1, 2, 6, 7, 8])]
)
def test_the_first_templates_of_each_identity_are_enrolled(most: int, kept: list[int]) -> None:
    palms = make_palms(2, sessions=2, shots=3)
    trials = Trials.of(palms, palms.sessions == 0, most)
    assert trials.templates.tolist() == kept
    assert trials.enrolled.tolist() == palms.labels[kept].tolist()
    assert trials.template_counts.tolist() == [len(kept) // 2] * 2
    # Templates that are not enrolled are no probes.
    assert trials.probes.tolist() == [3, 4, 5, 9, 10, 11]
    assert trials.own.tolist() == [0, 0, 0, 1, 1, 1]


def test_trials_among_some_identities_keep_their_subjects() -> None:
    trials = make_trials([0, 1, 2, 3, 3], [0, 1, 2, 2], templates=[1, 2, 1, 3])
    rows, columns, found = trials.among(np.array([1, 3]))
    assert (rows.tolist(), columns.tolist()) == ([1, 3, 4], [1, 2, 4, 5, 6])
    assert (found.own.tolist(), found.subjects.tolist()) == ([0, 1, 1], [1, 2, 2])
    assert (found.owners.tolist(), found.enrolled.tolist()) == ([1, 2], [0, 0, 1, 1, 1])
    assert found.templates.tolist() == trials.templates[columns].tolist()
    assert found.probes.tolist() == trials.probes[rows].tolist()


def test_a_subject_is_drawn_with_all_its_probes() -> None:
    weights = draw_subjects(2, seed=3, resamples=2000)
    np.testing.assert_array_equal(weights[0], 1)
    np.testing.assert_array_equal(weights.sum(axis=1), 2)
    # Nine right probes of one subject, one wrong one of the other: 90 %, 100 % or 0 %.
    rate = share(np.arange(10) < 9, np.r_[np.zeros(9), 1].astype(np.int32), weights)
    assert (rate.value, rate.count, rate.subjects) == (0.9, 10, 2)
    assert (rate.low, rate.high, rate.rule_of_three) == (0, 1, False)


def test_with_independent_probes_the_interval_is_as_wide_as_the_binomial_s() -> None:
    hits = np.random.default_rng(5).random(2000) < 0.9
    rate = share(hits, np.arange(2000, dtype=np.int32), draw_subjects(2000, seed=1))
    half = 1.96 * np.sqrt(0.09 / 2000)
    assert rate.high - rate.low == pytest.approx(2 * half, rel=0.15)


def test_without_errors_the_interval_is_that_of_the_rule_of_three() -> None:
    none = Rate.of(0.0, np.zeros(9), 500, 60)
    assert (none.low, none.high, none.rule_of_three) == (0, 0.05, True)
    all_right = Rate.of(1.0, np.ones(9), 500, 60)
    assert (all_right.low, all_right.high, all_right.rule_of_three) == (0.95, 1, True)
    assert Rate.of(0.0, np.zeros(9), 4, 2).high == 1
    assert Rate.of(0.0, np.zeros(9), 600, 60, independent=600).high == 0.005
