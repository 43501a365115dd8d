"""Templates of the trained identities, and what identifies a net's maps."""

from pathlib import Path

import numpy as np
import pytest

from app.matching.maps import Signs, VeinMaps
from tests.training.toy_palms import make_palms
from training.database.palms import Palms, load_palms
from training.nets.build import build_net
from training.nets.recipe import Recipe
from training.versions.read import Version
from training.versions.templates import (
    choose_templates,
    compute_maps,
    round_maps,
    template_id,
    trained_templates,
)


@pytest.fixture(scope="module")
def version(toy_store: Path) -> Version:
    return Version.open(toy_store / "alexnet/1")


@pytest.fixture(scope="module")
def palms(database: Path) -> Palms:
    return load_palms(database, 32)


def test_templates_are_spread_over_sessions_and_shots() -> None:
    palms = make_palms(2, sessions=3, shots=5)
    chosen = palms.select(choose_templates(palms))
    assert chosen.labels.tolist() == [0] * 3 + [1] * 3
    assert chosen.sessions.tolist() == [0, 1, 2] * 2
    assert chosen.shots.tolist() == [0, 2, 4] * 2


@pytest.mark.parametrize(("shots", "expected"), [(1, [0]), (2, [0, 1]), (4, [0, 2, 3])])
def test_an_identity_of_few_images_gives_what_it_has(shots: int, expected: list[int]) -> None:
    palms = make_palms(1, sessions=1, shots=shots)
    assert np.flatnonzero(choose_templates(palms)).tolist() == expected


def test_rounding_changes_no_value_s_sign_and_no_value_by_more_than_two_steps() -> None:
    values = np.arange(-127, 128, dtype=np.int8).reshape(1, 1, 255, 1).repeat(255, axis=1)
    usable = np.ones((1, 255, 255), bool)
    usable[0, 0] = False
    values = values * usable[..., None]
    found = round_maps(VeinMaps(values, usable))
    assert found.values.dtype == np.int8
    assert not found.values[0, 0].any()  # unusable places stay 0
    inside = found.values[0, 1].astype(int)
    assert np.abs(inside - values[0, 1]).max() <= 2
    np.testing.assert_array_equal(inside < 0, values[0, 1] < 0)
    assert len(np.unique(inside)) == 64


def test_rounded_maps_are_compared_almost_alike(version: Version, palms: Palms) -> None:
    maps = version.maps(palms)
    same = Signs.of(maps).positive == Signs.of(round_maps(maps)).positive
    assert same.mean() > 0.97


def test_the_maps_of_a_keras_net_are_those_of_its_version(version: Version, palms: Palms) -> None:
    net = version.model()
    one, other = compute_maps(net, palms), version.maps(palms)
    assert np.abs(one.values.astype(int) - other.values).max() <= 1
    np.testing.assert_array_equal(one.usable, other.usable)
    trained = trained_templates(net, palms)
    assert trained.owners.dtype == np.int32
    assert trained.counts.tolist() == [3] * 4
    assert set((trained.maps.values[trained.maps.usable] % 4).ravel().tolist()) == {2}


def test_equal_maps_have_equal_identifiers_whatever_else_differs(version: Version) -> None:
    net = version.model(identities=7)
    assert template_id(net) == version.manifest.template_id
    dense = net.get_layer("dense")
    dense.set_weights([2 * weight for weight in dense.get_weights()])
    last = net.get_layer("conv5")  # after the map's taps
    last.set_weights([2 * weight for weight in last.get_weights()])
    for layer in net.layers:
        layer.trainable = False
    assert template_id(net) == version.manifest.template_id


@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2", "map_local", "map_wide"])
def test_other_weights_before_the_map_have_another_identifier(layer: str, version: Version) -> None:
    net = version.model()
    weights = net.get_layer(layer).get_weights()
    weights[-1] = weights[-1] + 0.1
    net.get_layer(layer).set_weights(weights)
    assert template_id(net) != version.manifest.template_id


def test_weights_that_are_stored_alike_have_one_identifier(version: Version) -> None:
    net = version.model()
    kernel, bias = net.get_layer("map_wide").get_weights()
    net.get_layer("map_wide").set_weights([kernel * (1 + 1e-6), bias])
    assert template_id(net) == version.manifest.template_id


@pytest.mark.parametrize(("layer", "constant"), [("contrast", "floor"), ("map", "epsilon")])
def test_another_constant_of_a_layer_has_another_identifier(
    layer: str, constant: str, version: Version
) -> None:
    net = version.model()
    config = net.get_layer(layer).get_config() | {constant: 0.5}
    net.get_layer(layer).get_config = lambda: config
    assert template_id(net) != version.manifest.template_id


def test_another_size_of_the_input_has_another_identifier() -> None:
    recipe = Recipe(contrast_px=32, embedding_size=8)
    small, large = (build_net("alexnet", 2, recipe, input_px=side) for side in (32, 64))
    large.set_weights(small.get_weights())
    assert template_id(small) != template_id(large)
