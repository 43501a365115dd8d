"""The net of the question's code, as it was posted and as it was meant."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training.ablation.paper import build_from_recipe
from training.nets.build import build_net, fold, scoring_model
from training.nets.recipe import PRESETS, Recipe

IDENTITIES = 160


def draw_images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def seen_by_the_first_convolution(net: keras.Model) -> keras.Model:
    return keras.Model(net.input, net.get_layer("block1_conv1").input)


def convolutions(filters: tuple[int, ...], sides: tuple[int, ...]) -> int:
    """The weights and biases of a chain of convolutions on RGB."""
    triples = zip((3, *filters), filters, sides, strict=False)
    return sum(side**2 * inputs * outputs + outputs for inputs, outputs, side in triples)


def vgg_body(repeats: tuple[int, ...]) -> int:
    filters = np.repeat((32, 64, 96, 128, 128), repeats).tolist()
    return convolutions(tuple(filters), (3,) * len(filters))


def paper_head(inputs: int) -> int:
    return (inputs + 1) * 4096 + 4097 * 4096 + 4097 * IDENTITIES


@pytest.mark.parametrize(
    ("net", "filters", "body", "features"),
    [
        # AlexNet: five convolutions and two BatchNorms of four numbers a channel.
        ("alexnet", "reduced", convolutions((32, 64, 128, 128, 64), (3,) * 5) + 4 * (32 + 64), 64),
        (
            "alexnet",
            "original",
            convolutions((96, 256, 384, 384, 256), (11, 5, 3, 3, 3)) + 4 * (96 + 256),
            256,
        ),
        ("vgg16", "reduced", vgg_body((2, 2, 3, 3, 3)), 128),
        ("vgg19", "reduced", vgg_body((2, 2, 4, 4, 4)), 128),
    ],
)
def test_the_papers_nets_have_the_parameters_counted_by_hand(
    net: str, filters: str, body: int, features: int
) -> None:
    recipe = Recipe(filters=filters, head="paper", normalization="none", input="rescaled")
    model = build_from_recipe(net, IDENTITIES, recipe, input_px=32)  # one pixel before the head
    assert model.count_params() == body + paper_head(features)


def test_posted_vgg16_has_43_of_its_44_million_parameters_in_its_head() -> None:
    net = build_from_recipe("vgg16", IDENTITIES, PRESETS["as-posted"])
    head = sum(net.get_layer(name).count_params() for name in ("dense1", "dense2", "probabilities"))
    assert round(net.count_params() / 1e6) == 44
    assert round(head / 1e6) == 43


def test_posted_net_sees_raw_images_without_augmentation() -> None:
    net = build_from_recipe("vgg16", 4, PRESETS["as-posted"], input_px=32)
    images = draw_images(2, 32)
    np.testing.assert_array_equal(seen_by_the_first_convolution(net)(images, training=True), images)


def test_connected_preprocessing_reaches_the_first_convolution() -> None:
    recipe = replace(PRESETS["as-posted"], wiring="connected")
    first = seen_by_the_first_convolution(build_from_recipe("vgg16", 4, recipe, input_px=32))
    images = draw_images(2, 32)
    np.testing.assert_allclose(first(images, training=False), images / 255, atol=1e-6)
    assert not np.allclose(first(images, training=True), first(images, training=True))


def test_the_papers_net_gives_probabilities() -> None:
    net = scoring_model(build_from_recipe("alexnet", 3, PRESETS["as-posted"], input_px=32))
    np.testing.assert_allclose(np.asarray(net(draw_images(2, 32))).sum(axis=1), 1, atol=1e-5)


def test_a_net_with_augmentation_inside_is_served_without(tmp_path: Path) -> None:
    """Its weights fit the net that is served, by file and by folding."""
    recipe = Recipe(augment="paper", input="standardized", embedding_size=8)
    trained = build_from_recipe("alexnet", 4, recipe, input_px=32)
    images = draw_images(3, 32)
    expected = trained(images, training=False)["similarity"]
    folded = fold(trained, recipe)
    np.testing.assert_allclose(folded(images)["similarity"], expected, atol=1e-4)
    scoring_model(trained).save_weights(tmp_path / "w.weights.h5")
    served = build_net("alexnet", 4, recipe, input_px=32)
    scoring_model(served).load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(served(images, training=False)["similarity"], expected)


def test_other_recipes_build_this_projects_net() -> None:
    net = build_from_recipe("alexnet", 3, Recipe(embedding_size=8), input_px=32)
    assert [x.name for x in net.layers] == [
        x.name for x in build_net("alexnet", 3, Recipe(embedding_size=8), input_px=32).layers
    ]


def test_unknown_net_is_named() -> None:
    with pytest.raises(ValueError, match="unknown net 'resnet'"):
        build_from_recipe("resnet", 2, PRESETS["as-posted"])
