from pathlib import Path

import keras
import numpy as np
import pytest

from training.nets.build import NETS, VGG_REPEATS, build_net, fold
from training.nets.layers import RELU_GAIN, CosineClassifier, LocalContrast, ScaledConv2D
from training.nets.losses import MarginLoss
from training.nets.recipe import Recipe
from training.versions.shipped import copy_body


def randomise(model: keras.Model) -> None:
    """Gives every weight a value that differs from its start, variances staying positive."""
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(w + 0.1 * rng.normal(size=w.shape)) for w in model.get_weights()])


def images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def test_local_contrast_does_not_see_gain_and_brightness() -> None:
    layer = LocalContrast(shrink=1, window_px=7, floor=1e-6)
    image = np.random.default_rng(0).integers(20, 80, (1, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(layer(image), layer(image * 2 + 30), atol=1e-3)


def test_local_contrast_is_the_deviation_from_the_neighbourhood_in_its_units() -> None:
    image = images(1, 24)
    grey = image[0].mean(axis=2) / 255
    padded = np.pad(np.ones((24, 24)), 4)

    def box(x: np.ndarray) -> np.ndarray:
        for _ in range(2):
            total = np.zeros((24, 24))
            count = np.zeros((24, 24))
            wide = np.pad(x, 4)
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    total += wide[4 + dy : 28 + dy, 4 + dx : 28 + dx]
                    count += padded[4 + dy : 28 + dy, 4 + dx : 28 + dx]
            x = total / count
        return x

    centred = grey - box(grey)
    expected = centred / (np.sqrt(box(centred**2)) + 0.01)
    found = np.asarray(LocalContrast(shrink=1, window_px=3)(image))[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_scaled_convolution_standardises_every_filter() -> None:
    layer = ScaledConv2D(8)
    layer.build((None, 16, 16, 5))
    layer.set_weights([np.random.default_rng(0).normal(3, 2, (3, 3, 5, 8)), np.ones(8), np.ones(8)])
    kernel, bias = layer.folded_weights()
    raw = np.asarray(layer.get_weights()[0]).reshape(-1, 8)
    expected = RELU_GAIN * (raw - raw.mean(0)) / (raw.std(0) * np.sqrt(45))
    np.testing.assert_allclose(kernel.reshape(-1, 8), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(bias, np.ones(8))


@pytest.mark.parametrize("net", ["vgg16", "vgg19"])
def test_signal_keeps_its_strength_through_all_convolutions(net: str) -> None:
    """The mechanism by which the deep nets learn; with plain Glorot kernels this fails."""
    model = build_net(net, 4, input_px=96)
    last = f"block5_conv{VGG_REPEATS[net][-1]}"
    outputs = [model.get_layer("block1_conv1").output, model.get_layer(last).output]
    first, deep = keras.Model(model.input, outputs)(images(8, 96))
    assert 0.1 < np.std(deep) / np.std(first) < 10


@pytest.mark.parametrize("net", NETS)
def test_folded_net_answers_as_the_trained_one(net: str) -> None:
    recipe = Recipe(embedding_size=16)
    trained = build_net(net, 4, recipe, input_px=64)
    randomise(trained)
    images = images(3, 64)
    expected, found = trained(images, training=False), fold(trained, recipe)(images, training=False)
    np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["similarity"], expected["similarity"], atol=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_a_folded_net_can_be_trained_again_and_answers_the_same(net: str) -> None:
    recipe = Recipe(embedding_size=16)
    trained, again = (build_net(net, 4, recipe, input_px=64) for _ in range(2))
    randomise(trained)
    copy_body(fold(trained, recipe), again)
    images = images(3, 64)
    expected, found = (some(images, training=False)["embedding"] for some in (trained, again))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for layer in again.layers:
        if isinstance(layer, ScaledConv2D):
            kernel = layer.get_weights()[0]
            expected_rms = np.sqrt(2 / np.prod(kernel.shape[:3]))
            np.testing.assert_allclose(kernel.std(axis=(0, 1, 2)), expected_rms, rtol=0.05)


@pytest.mark.parametrize("net", NETS)
def test_saved_and_reloaded_net_answers_the_same(net: str, tmp_path: Path) -> None:
    model = build_net(net, 3, Recipe(embedding_size=8), input_px=64)
    randomise(model)
    model.save_weights(tmp_path / "w.weights.h5")
    other = build_net(net, 3, Recipe(embedding_size=8), input_px=64)
    other.load_weights(tmp_path / "w.weights.h5")
    batch = images(2, 64)
    np.testing.assert_array_equal(model(batch)["embedding"], other(batch)["embedding"])


def test_embedding_has_unit_length_and_similarity_is_its_cosine() -> None:
    model = build_net("alexnet", 5, Recipe(embedding_size=12), input_px=64)
    outputs = model(images(4, 64), training=False)
    embedding = np.asarray(outputs["embedding"])
    prototypes = np.asarray(model.get_layer("similarity").prototypes)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(outputs["similarity"], embedding @ prototypes.T, atol=1e-5)


def test_margin_loss_is_cross_entropy_of_the_reduced_true_similarity() -> None:
    similarity = np.array([[0.9, 0.1, -0.2], [0.3, 0.4, 0.5]], np.float32)
    logits = 10 * (similarity - 0.2 * np.eye(3)[[0, 1]])
    expected = np.log(np.exp(logits).sum(1)) - logits[[0, 1], [0, 1]]
    found = MarginLoss(10, 0.2)(np.array([0, 1]), similarity)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)


def test_vgg_has_the_convolutions_and_filters_of_the_paper() -> None:
    for net, convolutions in (("vgg16", 13), ("vgg19", 16)):
        layers = [x for x in build_net(net, 2).layers if isinstance(x, ScaledConv2D)]
        assert len(layers) == convolutions
        assert sorted({x.filters for x in layers}) == [32, 64, 96, 128]


def test_unknown_net_is_named() -> None:
    with pytest.raises(ValueError, match="unknown net 'resnet': choose one of alexnet, vgg16"):
        build_net("resnet", 2)


def test_classifier_and_contrast_survive_their_configuration() -> None:
    for layer in (CosineClassifier(7), LocalContrast(2, 9), ScaledConv2D(4, 2)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
