from pathlib import Path

import keras
import numpy as np
import pytest

from training.nets.build import (
    NETS,
    VGG_REPEATS,
    build_net,
    embedding_model,
    fold,
    freeze_norms,
    scoring_model,
    working_side,
)
from training.nets.layers import ScaledConv2D
from training.nets.recipe import PRESETS, Recipe
from training.versions.read import copy_body


def draw_images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def randomise(model: keras.Model) -> None:
    """Gives every weight a value that differs from its start, variances staying positive."""
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(w + 0.1 * rng.normal(size=w.shape)) for w in model.get_weights()])


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D | ScaledConv2D)]


@pytest.mark.parametrize(("net", "count"), [("vgg16", 13), ("vgg19", 16)])
def test_vgg_has_the_convolutions_and_filters_of_the_paper(net: str, count: int) -> None:
    found = convolutions(scoring_model(build_net(net, 2, input_px=32)))
    assert len(found) == count
    assert sorted({layer.filters for layer in found}) == [32, 64, 96, 128]


@pytest.mark.parametrize("net", ["vgg16", "vgg19"])
def test_original_vgg_has_the_convolutions_of_kerass_own(net: str) -> None:
    recipe = Recipe(filters="original", normalization="none", input="rescaled", embedding_size=8)
    ours = convolutions(scoring_model(build_net(net, 2, recipe, input_px=32)))
    theirs = convolutions(getattr(keras.applications, net.upper())(include_top=False, weights=None))
    assert [(x.name, x.kernel.shape) for x in ours] == [(x.name, x.kernel.shape) for x in theirs]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("normalization", ["none", "bare", "batch", "weight"])
def test_normalization_is_where_the_recipe_says(net: str, normalization: str) -> None:
    model = build_net(net, 3, Recipe(normalization=normalization), input_px=32)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    in_the_body = len(norms) - 1  # the embedding's own
    expected = {
        "none": 2 if net == "alexnet" else 0,
        "weight": 2 if net == "alexnet" else 0,
        "bare": 0,
        "batch": len(convolutions(scoring_model(model))),
    }
    assert in_the_body == expected[normalization]
    assert isinstance(convolutions(model)[0], ScaledConv2D) == (normalization == "weight")


def test_initializer_is_the_one_asked_for() -> None:
    net = build_net("vgg16", 3, Recipe(normalization="none", init="he_normal"), input_px=32)
    kernel = np.asarray(net.get_layer("block5_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.03)


@pytest.mark.parametrize("net", ["vgg16", "vgg19"])
def test_signal_keeps_its_strength_through_all_convolutions(net: str) -> None:
    """Why the deep nets learn; with plain Glorot kernels this fails."""
    model = build_net(net, 4, input_px=64)
    last = f"block5_conv{VGG_REPEATS[net][-1]}"
    outputs = [model.get_layer("block1_conv1").output, model.get_layer(last).output]
    first, deep = keras.Model(model.input, outputs)(draw_images(8, 64))
    assert 0.1 < np.std(deep) / np.std(first) < 10


def test_embedding_has_unit_length_and_similarity_is_its_cosine() -> None:
    model = build_net("alexnet", 5, Recipe(embedding_size=12), input_px=64)
    outputs = model(draw_images(4, 64), training=False)
    embedding = np.asarray(outputs["embedding"])
    prototypes = np.asarray(model.get_layer("similarity").prototypes)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(outputs["similarity"], embedding @ prototypes.T, atol=1e-5)


def test_scoring_and_embedding_model_are_the_nets_two_outputs() -> None:
    net = build_net("alexnet", 3, Recipe(embedding_size=8), input_px=32)
    images = draw_images(2, 32)
    expected = net(images)
    np.testing.assert_array_equal(scoring_model(net)(images), expected["similarity"])
    np.testing.assert_array_equal(embedding_model(net)(images), expected["embedding"])


@pytest.mark.parametrize("net", NETS)
def test_folded_net_answers_as_the_trained_one_and_can_be_trained_again(net: str) -> None:
    recipe = Recipe(embedding_size=16)
    trained, again = (build_net(net, 4, recipe, input_px=64) for _ in range(2))
    randomise(trained)
    folded = fold(trained, recipe)
    copy_body(folded, again)
    images = draw_images(3, 64)
    expected, found, restored = (x(images, training=False) for x in (trained, folded, again))
    np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["similarity"], expected["similarity"], atol=1e-4)
    np.testing.assert_allclose(restored["embedding"], expected["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["map"], expected["map"], atol=1e-2)
    np.testing.assert_allclose(restored["map"], expected["map"], atol=1e-2)
    for layer in convolutions(scoring_model(again)):
        kernel = layer.get_weights()[0]
        expected_rms = np.sqrt(2 / np.prod(kernel.shape[:3]))
        np.testing.assert_allclose(kernel.std(axis=(0, 1, 2)), expected_rms, rtol=0.05)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_folding_works_with_any_normalization(normalization: str) -> None:
    recipe = Recipe(normalization=normalization, input="standardized", embedding_size=8)
    trained = build_net("vgg16", 4, recipe, input_px=32)
    images = draw_images(3, 32)
    np.testing.assert_allclose(
        fold(trained, recipe)(images, training=False)["similarity"],
        trained(images, training=False)["similarity"],
        atol=1e-4,
    )


def test_saved_and_reloaded_net_answers_the_same(tmp_path: Path) -> None:
    model, other = (build_net("alexnet", 3, Recipe(), input_px=32) for _ in range(2))
    randomise(model)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    images = draw_images(2, 32)
    np.testing.assert_array_equal(model(images)["embedding"], other(images)["embedding"])


def test_frozen_norms_keep_their_statistics() -> None:
    net = build_net("alexnet", 3, Recipe(embedding_size=8), input_px=32)
    freeze_norms(net)
    norm = net.get_layer("norm1")
    before = [np.asarray(weight) for weight in norm.weights]
    net(draw_images(4, 32), training=True)
    for old, new in zip(before, norm.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    assert norm.trainable_weights == []


def test_a_net_for_the_working_side_sees_what_the_first_convolution_saw() -> None:
    recipe = Recipe(contrast_px=32)
    side = working_side("vgg16", recipe, 128)
    large, small = (build_net("vgg16", 2, recipe, input_px=px) for px in (128, side))
    shapes = [net.get_layer("block1_conv1").input.shape for net in (large, small)]
    assert side == 32
    assert shapes[0] == shapes[1]
    assert working_side("vgg16", Recipe(input="rescaled"), 128) == 128


def test_unknown_net_is_named() -> None:
    with pytest.raises(ValueError, match="unknown net 'resnet': choose one of alexnet, vgg16"):
        build_net("resnet", 2)


@pytest.mark.parametrize("preset", ["as-posted", "student"])
def test_the_papers_net_is_not_built_for_serving(preset: str) -> None:
    with pytest.raises(ValueError, match=r"--head paper --wiring \w+ cannot be served"):
        build_net("alexnet", 2, PRESETS[preset], input_px=32)
