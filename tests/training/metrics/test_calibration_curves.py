"""Confidences against the share of right answers, counted by hand and by simulation."""

import numpy as np
import pytest

from app.matching.calibration import Calibration
from app.matching.decision import posteriors
from app.matching.impostors import Impostors
from tests.training.toy_trials import make_case, make_trials
from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import draw_subjects
from training.metrics.calibration_curves import (
    BINS,
    bin_of,
    expected_calibration_error,
    identify_probes,
    measure_reliability,
)

CALIBRATION = Calibration(
    (
        make_case((2, 0.1), (10, 1e-5), mean_map=True, temperature=1),
        make_case((4, 0.1), (12, 1e-5), mean_map=True, templates=4, temperature=1.6),
        make_case((0.5, 0.1), (0.9, 1e-5)),
    )
)


IMPOSTORS = Impostors(0.1, 0.05)


def test_bins_hold_their_upper_end() -> None:
    confidence = np.array([0.0, 1e-9, 1 / BINS, 1 / BINS + 1e-9, 0.999, 1.0])
    assert bin_of(confidence).tolist() == [0, 0, 0, 1, BINS - 1, BINS - 1]


def test_expected_calibration_error_agrees_with_a_case_counted_by_hand() -> None:
    # Ten answers at 90 %, of which seven are right, and thirty at 60 %, of which 21 are.
    counts, right = np.array([[30.0, 10.0, 0.0]]), np.array([[21.0, 7.0, 0.0]])
    confidence = np.array([[18.0, 9.0, 0.0]])
    found = expected_calibration_error(counts, confidence, right)
    assert found.tolist() == pytest.approx([(30 * 0.1 + 10 * 0.2) / 40])


def compared(count: int = 40, probes: int = 50, seed: int = 3) -> Comparisons:
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(count), probes).astype(np.int32)
    similarities = rng.normal(0, 0.15, (len(own), count))
    similarities[np.arange(len(own)), own] += 0.55
    templates = np.where(np.arange(count) % 2, 1, 4)
    trials = make_trials(own, np.arange(count), templates)
    return Comparisons(similarities.astype(np.float32), trials)


def test_answers_are_those_of_the_service() -> None:
    one = compared()
    found = identify_probes(one, CALIBRATION, seed=5, impostors=IMPOSTORS)
    chosen = np.random.default_rng(5).permutation(40)[:20]
    of_one, of_four, _ = CALIBRATION.cases
    several = chosen % 2 == 0
    stated = [0.1 + 0.05 * case.threshold_at(0.01 / 20).score for case in (of_one, of_four)]
    thresholds = np.where(several, stated[1], stated[0])
    temperatures = np.where(several, 0.08, 0.05)
    assert (found.enrolled, found.strangers) == (20, 20 * 50)
    assert found.fmr == pytest.approx(0.01 / 20)
    refused = 0
    for row in range(0, 2000, 37):
        similarities, own = one.similarities[row, chosen], one.trials.own[row]
        odds = posteriors(similarities[None], thresholds, temperatures)[0]
        best = int(odds[1:].argmax())
        if (similarities < thresholds).all():
            refused += 1
            assert found.confidence[row] == pytest.approx(odds[0])
            assert found.right[row] == (own not in chosen)
        else:
            assert found.confidence[row] == pytest.approx(odds[1 + best])
            assert found.right[row] == (own == chosen[best])
    assert 0 < refused < 54


def test_the_lowest_calibrated_fmr_is_used_if_the_service_asks_for_a_lower_one() -> None:
    found = identify_probes(compared(), Calibration((make_case((0.2, 0.1)),)), 5, impostors=None)
    assert found.fmr == pytest.approx(0.1)


def test_the_bins_hold_all_answers() -> None:
    one = compared()
    answers = identify_probes(one, CALIBRATION, seed=5, impostors=IMPOSTORS)
    found = measure_reliability(answers, one.trials.subjects, draw_subjects(40, 1))
    assert sum(found.counts) == 2000 == found.ece.count
    used = [i for i, n in enumerate(found.counts) if n]
    assert all(i / BINS <= found.confidence[i] <= (i + 1) / BINS for i in used)
    expected = sum(found.counts[i] / 2000 * abs(found.right[i] - found.confidence[i]) for i in used)
    assert found.ece.value == pytest.approx(expected)
    assert 0 < found.ece.low <= expected <= found.ece.high < 0.5
    assert all(found.confidence[i] is None for i in range(BINS) if i not in used)


def test_confidences_that_are_right_as_often_as_they_say_have_almost_no_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.4, 1, 20_000)
    true = rng.random(20_000) < confidence

    def error(stated: np.ndarray) -> float:
        cells = bin_of(stated)
        sums = [np.bincount(cells, v, BINS)[None] for v in (np.ones(20_000), stated, true)]
        return float(expected_calibration_error(*sums)[0])

    assert error(confidence) < 0.01
    assert error(np.ones(20_000)) == pytest.approx(1 - true.mean())
