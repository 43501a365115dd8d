"""Scores count deviations from what a map has in common with other people's palms."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.maps import UNSCALED, MapShape, Signs, VeinMaps
from app.matching.scores import MIN_COHORT, NO_SCORE, Cohort, compare_each
from app.matching.similarity import probe_codes, similarities, template_codes
from app.matching.templates import TrainedTemplates

SHAPE = MapShape(14, 8)


def draw(count: int, seed: int, blur: float = 0.0) -> VeinMaps:
    """Random maps; blurred ones have few independent places."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(count, *SHAPE[:1] * 2, SHAPE.channels)).astype(np.float32)
    if blur:
        maps = np.stack([cv2.GaussianBlur(one, (0, 0), blur) for one in maps])
    return VeinMaps.of(maps / maps.std(), np.ones(maps.shape[:3], np.float32))


def cohort_of(maps: VeinMaps) -> Cohort:
    return Cohort.of(TrainedTemplates(np.arange(len(maps), dtype=np.int32), maps))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of(draw(100, 0))


def similar(probe: VeinMaps, templates: VeinMaps) -> NDArray[np.float32]:
    codes = probe_codes(Signs.of(probe)), template_codes(Signs.of(templates))
    return similarities(*codes, SHAPE)


def test_a_scale_is_mean_and_deviation_of_all_but_the_highest_similarities(cohort: Cohort) -> None:
    maps = draw(3, 1)
    found = cohort.scaled(maps)
    for row in range(3):
        kept = np.sort(similar(maps[row : row + 1], draw(100, 0)))[:98]
        expected = [kept.mean(), kept.std(), cohort.mark]
        assert found.scales[row] == pytest.approx(expected, rel=1e-4)
    assert np.array_equal(found.values, maps.values)


def test_a_palm_of_the_cohort_has_the_scale_of_a_stranger(cohort: Cohort) -> None:
    own, strangers = cohort.scaled(draw(100, 0)[:40]), cohort.scaled(draw(40, 2))
    assert own.scales.mean(axis=0) == pytest.approx(strangers.scales.mean(axis=0), rel=0.1)


def test_only_maps_without_a_scale_of_this_cohort_are_measured(cohort: Cohort) -> None:
    drawn = draw(3, 3)
    known = np.array([[0.25, 0.5, cohort.mark], [0.25, 0.5, cohort.mark + 1], UNSCALED], np.float32)
    found = cohort.scaled(VeinMaps(drawn.values, drawn.usable, known))
    assert np.array_equal(found.scales[0], known[0])
    assert np.array_equal(found.scales[1:], cohort.scaled(drawn).scales[1:])
    assert (found.scales[:, 2] == cohort.mark).all()


def test_cohorts_have_different_marks(cohort: Cohort) -> None:
    assert cohort.mark == cohort_of(draw(100, 0)).mark
    assert len({cohort.mark, cohort_of(draw(100, 1)).mark, cohort_of(draw(49, 0)).mark}) == 3


def test_a_score_is_the_mean_of_both_maps_deviations(cohort: Cohort) -> None:
    probes, templates = cohort.scaled(draw(2, 5)), cohort.scaled(draw(4, 6))
    found = compare_each(probes, templates, None)
    for row in range(2):
        alike = similar(probes[row : row + 1], templates)
        by_probe = (alike - probes.scales[row, 0]) / probes.scales[row, 1]
        by_template = (alike - templates.scales[:, 0]) / templates.scales[:, 1]
        assert found[row] == pytest.approx((by_probe + by_template) / 2, abs=1e-4)


def test_strangers_scores_vary_equally_whether_maps_are_sharp_or_blurred(cohort: Cohort) -> None:
    def spread(compare: Callable[[VeinMaps], NDArray[np.float32]], blur: float) -> float:
        found = compare(draw(60, 7, blur))
        return float(found[~np.eye(60, dtype=bool)].std())

    def raw(maps: VeinMaps) -> NDArray[np.float32]:
        return compare_each(maps, maps, None)

    def scores(maps: VeinMaps) -> NDArray[np.float32]:
        return raw(cohort_of(draw(100, 8, 1.0)).scaled(maps))

    assert spread(raw, 1.0) > 1.5 * spread(raw, 0.0)
    assert spread(scores, 1.0) == pytest.approx(1, abs=0.25)
    assert spread(lambda maps: raw(cohort.scaled(maps)), 0.0) == pytest.approx(1, abs=0.25)


def test_a_cohort_of_too_few_palms_leaves_similarities(cohort: Cohort) -> None:
    few = cohort_of(draw(MIN_COHORT - 1, 9))
    probes, templates = few.scaled(draw(1, 10)), few.scaled(cohort.scaled(draw(3, 11)))
    assert np.array_equal(templates.scales, [UNSCALED] * 3)
    found = compare_each(probes, templates, None)
    assert found[0] == pytest.approx(similar(probes, templates), abs=1e-6)


def test_maps_with_too_few_common_places_have_no_score(cohort: Cohort) -> None:
    maps = draw(2, 12)
    usable = maps.usable.copy()
    usable[0, :, 4:] = False
    hidden = VeinMaps(maps.values * usable[..., None], usable)
    found = compare_each(cohort.scaled(hidden[:1]), cohort.scaled(hidden), None)
    assert found.tolist() == [[NO_SCORE, NO_SCORE]]


def test_a_map_that_few_of_the_cohort_can_be_compared_with_matches_nobody() -> None:
    palms = draw(100, 13)
    usable = palms.usable.copy()
    usable[30:, :, 7:] = False  # 70 of the cohort show a half
    cohort = cohort_of(VeinMaps(palms.values * usable[..., None], usable))
    maps = draw(1, 14)
    seen = maps.usable.copy()
    seen[:, :5] = False  # with these it has 63 places in common, and 73 are needed
    partly = cohort.scaled(VeinMaps(maps.values * seen[..., None], seen))
    assert compare_each(partly, partly, None).item() == NO_SCORE
