"""The vein map of toy nets: standardised, masked, the same at any size of the image."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.nets.build import build_net, select_outputs, working_side
from training.nets.maps import StandardisedMap, UsablePlaces
from training.nets.recipe import NETS, Recipe

TOY = Recipe(contrast_px=32, embedding_size=8)


def skin(count: int = 2, side: int = 32) -> np.ndarray:
    """Grey noise of 60 to 120, with three equal channels: usable everywhere."""
    grey = np.random.default_rng(1).integers(60, 120, (count, side, side, 1))
    return np.repeat(grey, 3, axis=-1).astype(np.uint8)


def outputs(net: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in dict(net(images, training=False)).items()}  # type: ignore[call-overload]


@pytest.mark.parametrize("net", NETS)
def test_a_map_has_a_place_for_four_pixels_a_side_and_the_recipes_channels(net: str) -> None:
    recipe = Recipe(contrast_px=32, map_channels=6)
    found = outputs(build_net(net, 2, recipe, input_px=32), skin())
    assert found["map"].shape == (2, 8, 8, 6)
    assert found["mask"].shape == (2, 8, 8)
    assert found["map"].dtype == found["mask"].dtype == np.float32


def test_a_large_grid_is_averaged_to_about_28_places() -> None:
    net = build_net("vgg16", 2, Recipe(input="rescaled", embedding_size=8), input_px=224)
    assert net.output["map"].shape == (None, 28, 28, 16)  # type: ignore[index]
    assert net.get_layer("block3_conv3").output.shape[1] == 56


def test_every_channel_is_standardised_over_the_usable_places_of_its_image() -> None:
    images = skin()
    images[0, :12, :20] = 255
    found = outputs(build_net("vgg16", 2, TOY, input_px=32), images)
    usable = found["mask"] == 1
    assert 0 < usable[0].sum() < usable[1].sum() == 64
    for one, places in zip(found["map"], usable, strict=True):
        np.testing.assert_array_equal(one[~places], 0)
        np.testing.assert_allclose(one[places].mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(one[places].std(axis=0), 1, atol=0.01)


def test_a_channel_without_variance_and_an_image_without_usable_places_are_zero() -> None:
    channels = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype(np.float32)
    channels[0, ..., 0] = 3
    mask = np.ones((2, 4, 4), np.float32)
    mask[1] = 0
    found = np.asarray(StandardisedMap()([channels, mask]))
    np.testing.assert_array_equal(found[0, ..., 0], 0)
    np.testing.assert_array_equal(found[1], 0)
    assert found[0, ..., 1].std() == pytest.approx(1, abs=0.01)


def test_a_map_is_standardised_in_float32_whatever_the_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = outputs(build_net("alexnet", 2, TOY, input_px=32), skin())
    finally:
        keras.config.set_dtype_policy(before)
    assert found["map"].dtype == np.float32
    np.testing.assert_allclose(found["map"].mean(axis=(1, 2)), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("level", "usable"), [(249, True), (250, False), (255, False), (3, True), (2, False)]
)
def test_a_saturated_patch_and_nothing_else_is_masked(level: int, usable: bool) -> None:
    images = np.full((1, 32, 32, 3), 200 if level > 100 else 40, np.uint8)
    images[0, 8:16, 20:28] = level
    found = np.asarray(UsablePlaces(1, 8)(images))[0]
    expected = np.ones((8, 8))
    expected[2:4, 5:7] = usable
    np.testing.assert_array_equal(found, expected)


def test_a_reflection_and_nothing_else_is_masked() -> None:
    images = np.full((1, 64, 64, 3), 100, np.uint8)
    images[0, 16:20, 40:44] = 220  # 120 grey levels brighter, far from saturated
    images[0, 40:44, 8:12] = 150  # brighter skin
    images[0, 48:52, 48:52] = 20  # a dark spot
    found = np.asarray(UsablePlaces(1, 16)(images))[0]
    expected = np.ones((16, 16))
    expected[4, 10] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("pixels", "usable"), [(4, True), (5, False)])
def test_a_place_is_masked_if_more_than_a_quarter_of_its_pixels_are(
    pixels: int, usable: bool
) -> None:
    images = np.full((1, 16, 16, 3), 220, np.uint8)
    rows, columns = np.unravel_index(np.arange(pixels), (4, 4))
    images[0, 4 + rows, 4 + columns] = 255  # in the place (1, 1)
    found = np.asarray(UsablePlaces(1, 4)(images))[0]
    assert (found[1, 1] == 1) == usable
    assert found.sum() == 15 + usable


@pytest.mark.parametrize("net", ["alexnet", "vgg16"])
def test_images_of_twice_the_side_have_the_same_map_and_mask(net: str) -> None:
    recipe = Recipe(contrast_px=32, embedding_size=8)
    images = skin(side=32)
    images[0, :8, :8] = 255
    double = images.repeat(2, axis=1).repeat(2, axis=2)
    small, large = (build_net(net, 2, recipe, input_px=px) for px in (32, 64))
    assert working_side(net, recipe, 64) == 32
    large.set_weights(small.get_weights())
    expected, found = outputs(small, images), outputs(large, double)
    assert 0 < expected["mask"][0].sum() < 64
    np.testing.assert_array_equal(found["mask"], expected["mask"])
    np.testing.assert_allclose(found["map"], expected["map"], atol=1e-3)


def test_a_saved_net_keeps_its_map_head(tmp_path: Path) -> None:
    one, other = (build_net("alexnet", 2, TOY, input_px=32) for _ in range(2))
    images = skin()
    expected = outputs(one, images)["map"]
    assert not np.allclose(outputs(other, images)["map"], expected, atol=0.1)
    select_outputs(one, "embedding", "map").save_weights(tmp_path / "w.weights.h5")
    select_outputs(other, "embedding", "map").load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(outputs(other, images)["map"], expected, atol=1e-6)


def test_no_channels_are_no_map_head() -> None:
    net: Any = build_net("alexnet", 2, Recipe(map_channels=0), input_px=32)
    assert set(net.output) == {"embedding", "similarity"}
