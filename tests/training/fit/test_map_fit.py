"""A map head that is fitted without training, on a toy net."""

from typing import Any

import keras
import numpy as np
import pytest

from tests.training.toy_palms import palms_of
from training.fit.map_fit import HEADS, fit_map, spread_batches
from training.nets.build import build_net
from training.nets.recipe import Recipe


@pytest.fixture
def net() -> keras.Model:
    recipe = Recipe(contrast_px=32, embedding_size=8, map_channels=8)
    return build_net("alexnet", 1, recipe, input_px=32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    grey = np.random.default_rng(1).integers(60, 120, (24, 32, 32, 1))
    grey[::3, :12] = 255  # saturated, so not usable
    return np.repeat(grey, 3, axis=-1).astype(np.uint8)


def correlations(net: keras.Model, images: np.ndarray, head: str) -> np.ndarray:
    """The covariance of a head's channels within the usable places of each image."""
    model = keras.Model(net.input, [net.get_layer(head).output, net.get_layer("mask").output])
    outputs: Any = model(images, training=False)
    channels, mask = (np.asarray(output) for output in outputs)
    centred = [x[m == 1] - x[m == 1].mean(axis=0) for x, m in zip(channels, mask, strict=True)]
    rows = np.concatenate(centred)
    return rows.T @ rows / len(rows)


@pytest.mark.parametrize("head", HEADS)
def test_channels_become_uncorrelated_and_of_unit_variance(
    head: str, net: keras.Model, images: np.ndarray
) -> None:
    before = correlations(net, images, head)
    assert np.abs(before - np.eye(4)).max() > 0.1
    fit_map(net, [images[:10], images[10:]])
    np.testing.assert_allclose(correlations(net, images, head), np.eye(4), atol=0.01)


def test_a_fit_does_not_depend_on_how_images_are_batched(
    net: keras.Model, images: np.ndarray
) -> None:
    fit_map(net, [images])
    once = net.get_layer("map_local").get_weights()
    fit_map(net, [images[:5], images[5:]])
    for one, other in zip(once, net.get_layer("map_local").get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_images_of_a_part_are_evenly_spaced() -> None:
    palms = palms_of(np.arange(101).reshape(-1, 1, 1), np.zeros(101, int))
    chosen = np.concatenate([images[:, 0, 0, 0] for images in spread_batches(palms, 3)])
    np.testing.assert_array_equal(chosen, [0, 50, 100])
    assert sum(len(images) for images in spread_batches(palms, 1000)) == 101
