"""Vein maps: rounding, storage, signs and coarse signs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.maps import STEPS, MapShape, Signs, VeinMaps, join_maps

SHAPE = MapShape(7, 3)


def random_outputs(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(count, 7, 7, 3)).astype(np.float32)
    return maps, (rng.random((count, 7, 7)) > 0.2).astype(np.float32)


def test_values_are_rounded_to_a_sixteenth_and_zero_where_unusable() -> None:
    maps, masks = random_outputs(4)
    found = VeinMaps.of(maps, masks)
    usable = masks == 1
    assert np.abs(found.deviations - maps)[usable].max() <= 0.5 / STEPS
    assert not found.values[~usable].any()
    assert np.array_equal(found.usable, usable)


def test_extreme_values_are_clipped_not_wrapped() -> None:
    maps = np.full((1, 7, 7, 3), 1e6, np.float32)
    maps[0, 0] = -1e6
    found = VeinMaps.of(maps, np.ones((1, 7, 7), np.float32))
    assert found.values.max() == 127
    assert found.values.min() == -127


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_an_error(bad: float) -> None:
    maps, masks = random_outputs(1)
    maps[0, 3, 3, 1] = bad
    with pytest.raises(ArithmeticError, match="not finite"):
        VeinMaps.of(maps, masks)


def test_stored_maps_are_read_back() -> None:
    drawn = VeinMaps.of(*random_outputs(3))
    scales = np.array([[0.1, 0.02, 7], [0.2, 0.03, 1 << 24], [0, 1, 0]], np.float32)
    maps = VeinMaps(drawn.values, drawn.usable, scales)
    stored = maps.to_bytes()
    assert {len(one) for one in stored} == {SHAPE.stored_bytes} == {7 * 7 * 3 + 7 + 12}
    read = VeinMaps.from_bytes(stored, SHAPE)
    assert np.array_equal(read.values, maps.values)
    assert np.array_equal(read.usable, maps.usable)
    assert np.array_equal(read.scales, scales)


def test_maps_that_were_stored_without_a_scale_are_read_unscaled() -> None:
    maps = VeinMaps.of(*random_outputs(2))
    new, old = maps.to_bytes()[0], maps.to_bytes()[1][: SHAPE.unscaled_bytes]
    read = VeinMaps.from_bytes([new, old], SHAPE)
    assert np.array_equal(read.values, maps.values)
    assert read.scales.tolist() == [[0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("scale", [(np.nan, 1), (0, np.inf), (0, 0), (0, -1)])
def test_a_damaged_scale_is_not_used(scale: tuple[float, float]) -> None:
    drawn = VeinMaps.of(*random_outputs(1))
    damaged = VeinMaps(drawn.values, drawn.usable, np.array([[*scale, 7]], np.float32))
    assert VeinMaps.from_bytes(damaged.to_bytes(), SHAPE).scales.tolist() == [[0, 1, 0]]


def test_scales_of_other_maps_are_refused() -> None:
    drawn = VeinMaps.of(*random_outputs(2))
    with pytest.raises(ValueError, match="2 maps cannot have 1 scales"):
        VeinMaps(drawn.values, drawn.usable, drawn.scales[:1])


def test_no_maps_are_stored_and_joined_like_others() -> None:
    nothing = VeinMaps.empty(SHAPE)
    assert nothing.to_bytes() == []
    assert VeinMaps.from_bytes([], SHAPE).values.shape == (0, 7, 7, 3)
    maps = VeinMaps.of(*random_outputs(2))
    assert np.array_equal(join_maps([nothing, maps]).values, maps.values)


def test_a_stored_map_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="has 166 bytes, not 153"):
        VeinMaps.from_bytes([b"\0" * 153], SHAPE)


def test_signs_are_those_of_values_standardised_again_without_the_mean_map() -> None:
    maps = VeinMaps.of(*random_outputs(3))
    mean = np.random.default_rng(1).normal(size=(7, 7, 3)).astype(np.float32)
    found = Signs.of(maps, mean)
    for image in range(3):
        for channel in range(3):
            usable = maps.usable[image]
            values = maps.values[image, ..., channel] / STEPS - mean[..., channel]
            expected = np.zeros((7, 7), bool)
            expected[usable] = values[usable] > values[usable].mean()
            assert np.array_equal(found.positive[image, ..., channel], expected)


def test_coarse_signs_are_those_of_means_over_four_places() -> None:
    maps = VeinMaps.of(*random_outputs(2))
    found = Signs.coarse(maps)
    assert found.positive.shape == (2, 4, 4, 3)  # of seven places, the last is alone
    assert not found.usable[:, 3, 3].any()
    values = np.full((4, 4, 3), np.nan)
    for row in range(4):
        for column in range(4):
            cut = np.s_[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            if maps.usable[cut].sum() >= 2:
                values[row, column] = maps.deviations[cut][maps.usable[cut]].mean(axis=0)
    level = np.nanmean(values, axis=(0, 1))
    assert np.array_equal(found.positive[0], np.nan_to_num(values - level, nan=-1) > 0)


def test_places_that_lie_mostly_beside_the_hand_become_unusable() -> None:
    values = np.full((1, 4, 4, 2), 16, np.int8)
    maps = VeinMaps(values, np.ones((1, 4, 4), bool))
    seen = np.ones((1, 8, 8), bool)  # 2 x 2 pixels a place
    seen[0, 0, :2] = seen[0, 1, 0] = False  # a quarter of the first place is left
    seen[0, 2, :2] = False  # half of the place below
    found = maps.within(seen)
    expected = np.ones((4, 4), bool)
    expected[0, 0] = expected[1, 0] = False
    np.testing.assert_array_equal(found.usable[0], expected)
    np.testing.assert_array_equal(found.values[0, ..., 0] != 0, expected)
    assert maps.within(np.ones((1, 8, 8), bool)) is maps


def test_pixels_and_places_need_not_divide() -> None:
    maps = VeinMaps(np.ones((1, 3, 3, 1), np.int8), np.ones((1, 3, 3), bool))
    seen = np.zeros((1, 10, 10), bool)
    seen[:, :, 6:] = True
    np.testing.assert_array_equal(maps.within(seen).usable[0], [[False, False, True]] * 3)
