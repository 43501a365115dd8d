"""Thresholds, temperatures and limits by cases, against values worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from app.matching.calibration import (
    Calibration,
    Case,
    Threshold,
    comparisons_needed,
)
from app.matching.impostors import Impostors

THRESHOLDS = (Threshold(0.2, 1e-1), Threshold(0.3, 1e-2), Threshold(0.5, 1e-4))
CASE = Case(mean_map=False, templates=1, probes=1, temperature=0.1, thresholds=THRESHOLDS)


def case(templates: int, rise: float, *, probes: int = 1, mean_map: bool = False) -> Case:
    """A case whose thresholds lie higher by `rise`."""
    raised = tuple(replace(one, score=one.score + rise) for one in THRESHOLDS)
    return Case(mean_map, templates, probes, 0.1 + rise, raised)


@pytest.mark.parametrize(
    ("fmr", "similarity"),
    [(1e-1, 0.2), (1e-2, 0.3), (1e-4, 0.5), (1e-3, 0.4), (10**-1.5, 0.25), (10**-3.5, 0.45)],
)
def test_a_threshold_is_linear_in_the_logarithm_of_the_fmr(fmr: float, similarity: float) -> None:
    threshold = CASE.threshold_at(fmr)
    assert threshold.score == pytest.approx(similarity)
    assert threshold.fmr == pytest.approx(fmr)


@pytest.mark.parametrize(("fmr", "end"), [(0.5, THRESHOLDS[0]), (1e-9, THRESHOLDS[-1])])
def test_outside_the_measured_range_a_threshold_is_that_of_the_end(
    fmr: float, end: Threshold
) -> None:
    threshold = CASE.threshold_at(fmr)
    assert threshold.score == pytest.approx(end.score)
    assert threshold.fmr == pytest.approx(end.fmr)


def test_the_lowest_fmr_is_one_that_every_case_has() -> None:
    shorter = replace(case(3, 0.1), thresholds=THRESHOLDS[:2])
    assert Calibration((CASE, case(6, 0.1))).lowest_fmr == 1e-4
    assert Calibration((CASE, shorter)).lowest_fmr == 1e-2


def test_more_enrolled_images_need_a_higher_score() -> None:
    calibration = Calibration((case(6, 0.06), case(1, 0.0), case(3, 0.04)))
    limits = calibration.at(1e-2, np.array([1, 3, 6, 2]), probes=1, impostors=None)
    between = 0.3 + 0.04 * np.log(2) / np.log(3)
    np.testing.assert_allclose(limits.scores, [0.3, 0.34, 0.36, between])
    np.testing.assert_allclose(limits.temperatures[:3], [0.1, 0.14, 0.16])
    assert limits.fmr == pytest.approx(1e-2)


def test_above_the_largest_number_of_images_limits_go_on_rising() -> None:
    calibration = Calibration((case(1, 0.0), case(3, 0.04), case(6, 0.06)))
    limits = calibration.at(1e-2, np.array([12, 24]), probes=1, impostors=None)
    np.testing.assert_allclose(limits.scores, [0.38, 0.40])  # 0.02 for each doubling
    np.testing.assert_allclose(limits.temperatures, [0.16, 0.16])


def test_above_one_measured_number_of_images_limits_rise_by_the_union_bound() -> None:
    limits = Calibration((CASE,)).at(1e-3, np.array([1, 10]), probes=1, impostors=None)
    # Ten images reach a threshold ten times as often; a tenth of the FMR costs 0.1 here.
    np.testing.assert_allclose(limits.scores, [0.4, 0.5])


def test_limits_never_fall_with_the_number_of_images() -> None:
    calibration = Calibration((case(1, 0.05), case(3, 0.0)))
    limits = calibration.at(1e-2, np.array([3, 30]), probes=1, impostors=None)
    np.testing.assert_allclose(limits.scores, [0.3, 0.3])


def test_no_subjects_have_no_limits() -> None:
    limits = Calibration((CASE,)).at(1e-2, np.zeros(0, int), probes=1, impostors=None)
    assert limits.scores.shape == limits.temperatures.shape == (0,)


@pytest.mark.parametrize(
    ("probes", "mean_map", "similarity"),
    [
        (1, False, 0.3),
        (2, False, 0.29),
        (5, False, 0.29),  # two measured ones hold for more
        (1, True, 0.27),
        (2, True, 0.27),  # not measured: that of one probe, which is stricter
    ],
)
def test_each_case_has_its_own_limits(probes: int, mean_map: bool, similarity: float) -> None:
    cases = (CASE, case(1, -0.01, probes=2), case(1, -0.03, mean_map=True))
    impostors = Impostors(0.0, 1.0) if mean_map else None
    limits = Calibration(cases).at(1e-2, np.array([1]), probes=probes, impostors=impostors)
    assert limits.scores == pytest.approx(similarity)


def test_without_a_measured_mean_map_the_stricter_limits_hold() -> None:
    site = Impostors(0.1, 0.02)
    limits = Calibration((CASE,)).at(1e-2, np.array([1]), probes=1, impostors=site)
    assert limits.scores == pytest.approx(0.3)


def test_with_a_mean_map_limits_count_deviations_of_the_site_s_impostors() -> None:
    calibration = Calibration((CASE, case(1, 3.7, mean_map=True), case(3, 4.7, mean_map=True)))
    site = Impostors(mean=0.1, deviation=0.02)
    limits = calibration.at(1e-2, np.array([1, 3]), probes=1, impostors=site)
    np.testing.assert_allclose(limits.scores, [0.1 + 0.02 * 4, 0.1 + 0.02 * 5])
    np.testing.assert_allclose(limits.temperatures, [0.02 * 3.8, 0.02 * 4.8])


def test_an_fmr_below_the_measured_ones_is_named_as_the_nearest() -> None:
    assert Calibration((CASE,)).at(
        1e-7, np.array([1]), probes=1, impostors=None
    ).fmr == pytest.approx(1e-4)


@pytest.mark.parametrize(("fmr", "needed"), [(1e-1, 30), (1e-3, 3000), (5e-7, 6_000_000)])
def test_a_rate_needs_three_false_matches(fmr: float, needed: int) -> None:
    assert comparisons_needed(fmr) == needed


@pytest.mark.parametrize("impostors", [None, Impostors(0.6, 1.2)])
def test_the_rate_at_a_threshold_is_the_one_that_it_was_asked_for(
    impostors: Impostors | None,
) -> None:
    rates = (Threshold(3.0, 1e-2), Threshold(4.0, 1e-3), Threshold(6.5, 1e-5))
    calibration = Calibration(tuple(Case(mean, 1, 1, 0.5, rates) for mean in (False, True)))
    for fmr in (1e-2, 4e-3, 1e-3, 2e-4, 1e-5):
        score, _ = calibration.for_one_image(fmr, impostors)
        # Rounding must not leave the measured rates.
        inside = score + {1e-2: 1e-9, 1e-5: -1e-9}.get(fmr, 0)
        assert calibration.fmr_at(inside, impostors) == pytest.approx(fmr)
    above, _ = calibration.for_one_image(1e-5, impostors)
    assert calibration.fmr_at(above + 0.1, impostors) is None
