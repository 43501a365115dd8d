"""Other ways to compare maps than the service's."""

import numpy as np
import pytest

from app.matching.maps import VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import TrainedTemplates
from training.benchmark.map_options import MapOptions

VALUES = np.arange(2 * 5 * 5 * 4).reshape(2, 5, 5, 4).astype(np.int8)
MAPS = VeinMaps(VALUES, np.arange(50).reshape(2, 5, 5) % 3 > 0)


def test_the_defaults_are_the_services_and_change_nothing() -> None:
    options = MapOptions()
    found = options.apply(MAPS)
    np.testing.assert_array_equal(found.values, MAPS.values)
    np.testing.assert_array_equal(found.usable, MAPS.usable)
    assert options.are_calibrated
    assert options.describe() == ""


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (MapOptions(shift=1), "maps are shifted by up to 1 places instead of 3"),
        (MapOptions(channels="wide"), "only the wide channels are compared"),
        (
            MapOptions(channels="local", mask=False),
            "only the local channels are compared, unusable places are compared, too",
        ),
        (MapOptions(cohort=False), "similarities are compared, not scores"),
    ],
)
def test_what_differs_from_the_service_is_said(options: MapOptions, difference: str) -> None:
    assert options.describe() == difference
    assert not options.are_calibrated


def test_local_channels_are_the_first_half_and_wide_ones_the_second() -> None:
    for channels, expected in (("local", VALUES[..., :2]), ("wide", VALUES[..., 2:])):
        found = MapOptions(channels=channels).apply(MAPS)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.values, expected)


def test_without_a_mask_every_place_is_usable() -> None:
    found = MapOptions(mask=False).apply(MAPS)
    assert found.usable.all()
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize("shift", [-1, 3])
def test_a_shift_of_half_the_side_is_refused(shift: int) -> None:
    with pytest.raises(ValueError, match=f"--shift {shift} .* toy, 5 x 5 places: choose 0 to 2"):
        MapOptions(shift=shift).require_valid(5, "toy")
    MapOptions(shift=2).require_valid(5, "toy")


def test_maps_of_other_options_are_scaled_by_a_cohort_of_the_same_options() -> None:
    rng = np.random.default_rng(0)

    def draw(count: int) -> VeinMaps:
        values = rng.integers(-40, 41, (count, 9, 9, 4), np.int8)
        return VeinMaps(values, np.ones((count, 9, 9), bool))

    trained = TrainedTemplates(np.arange(60, dtype=np.int32), draw(60))
    maps = Cohort.of(trained).scaled(draw(3))
    assert MapOptions().apply_and_scale(maps, trained) is maps

    options = MapOptions(shift=1, channels="wide")
    found = options.apply_and_scale(maps, trained)
    wide = TrainedTemplates(
        trained.owners, VeinMaps(trained.maps.values[..., 2:], trained.maps.usable)
    )
    expected = Cohort.of(wide, shift=1).scaled(VeinMaps(maps.values[..., 2:], maps.usable))
    np.testing.assert_array_equal(found.scales, expected.scales)
    assert not np.allclose(found.scales, maps.scales)

    similarities = MapOptions(cohort=False).apply_and_scale(maps, trained)
    np.testing.assert_array_equal(similarities.scales, [[0, 1, 0]] * 3)
