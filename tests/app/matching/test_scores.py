"""Scores count deviations from what a map has in common with other people's palms."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.maps import UNSCALED, MapShape, Signs, VeinMaps, join_maps
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
        assert found.scales[row] == pytest.approx([kept.mean(), kept.std()], rel=1e-4)
    assert np.array_equal(found.values, maps.values)


def test_a_palm_of_the_cohort_has_the_scale_of_a_stranger(cohort: Cohort) -> None:
    own, strangers = cohort.scaled(draw(100, 0)[:40]), cohort.scaled(draw(40, 2))
    assert own.scales.mean(axis=0) == pytest.approx(strangers.scales.mean(axis=0), rel=0.1)


def test_only_maps_without_a_scale_are_scaled(cohort: Cohort) -> None:
    known = VeinMaps(*(getattr(draw(1, 3), name) for name in ("values", "usable")))
    scaled = VeinMaps(known.values, known.usable, np.array([[0.25, 0.5]], np.float32))
    found = cohort.scaled(join_maps([scaled, draw(1, 4)]))
    assert found.scales[0].tolist() == [0.25, 0.5]
    assert not np.array_equal(found.scales[1], UNSCALED)


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


def test_a_cohort_of_too_few_palms_leaves_similarities() -> None:
    few = cohort_of(draw(MIN_COHORT - 1, 9))
    probes, templates = few.scaled(draw(1, 10)), few.scaled(draw(3, 11))
    found = compare_each(probes, templates, None)
    assert found[0] == pytest.approx(similar(probes, templates), abs=1e-6)


def test_maps_with_too_few_common_places_have_no_score(cohort: Cohort) -> None:
    maps = draw(2, 12)
    usable = maps.usable.copy()
    usable[0, :, 4:] = False
    hidden = VeinMaps(maps.values * usable[..., None], usable)
    found = compare_each(cohort.scaled(hidden[:1]), cohort.scaled(hidden), None)
    assert found.tolist() == [[NO_SCORE, NO_SCORE]]
