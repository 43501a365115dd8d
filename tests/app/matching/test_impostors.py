"""The scale of a site's thresholds."""

import numpy as np
import pytest

from app.matching.impostors import LEFT_OUT, Impostors


def draw_cohort(subjects: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(0.06, 0.02, (subjects, subjects))
    np.fill_diagonal(found, 1.0)  # each image to its own subject
    return found


def test_the_mean_and_deviation_are_those_of_different_subjects() -> None:
    found = Impostors.of(draw_cohort(100))
    assert found.mean == pytest.approx(0.06, abs=2e-3)
    assert found.deviation == pytest.approx(0.02, rel=0.1)


def test_one_palm_enrolled_twice_hardly_changes_them() -> None:
    cohort = draw_cohort(20)
    twice = cohort.copy()
    twice[3, 8] = twice[8, 3] = 0.6
    alone, found = Impostors.of(cohort), Impostors.of(twice)
    assert found.mean == pytest.approx(alone.mean, abs=1e-3)
    assert found.deviation == pytest.approx(alone.deviation, rel=0.05)


def test_the_highest_similarities_are_left_out() -> None:
    cohort = np.zeros((11, 11))
    cohort[0, 1:3] = 1.0  # 2 of 110 comparisons
    assert int(LEFT_OUT * 110) == 2
    assert Impostors.of(cohort).mean == 0.0


def test_equal_similarities_have_a_deviation_above_zero() -> None:
    assert Impostors.of(np.full((3, 3), 0.5)).deviation > 0


def test_images_that_could_not_be_compared_do_not_count() -> None:
    cohort = draw_cohort(20)
    some = cohort.copy()
    some[3, :] = some[:, 3] = np.nan
    alone, found = Impostors.of(cohort), Impostors.of(some)
    assert found.mean == pytest.approx(alone.mean, abs=3e-3)
    assert found.deviation == pytest.approx(alone.deviation, rel=0.1)


def test_without_any_comparison_nobody_reaches_the_scale() -> None:
    found = Impostors.of(np.full((3, 3), np.nan))
    assert found.mean + 2 * found.deviation > 1
