import keras
import numpy as np
import pytest

from training.fit.layer_inspector import LayerInspector


def toy(kernel: float = 0.5) -> keras.Model:
    """Images of 1x1 pixel, two channels, through one ReLU layer to two probabilities."""
    image = keras.Input((1, 1, 2))
    x = keras.layers.Flatten()(image)
    x = keras.layers.Dense(2, activation="relu", use_bias=False, name="hidden")(x)
    x = keras.layers.Dense(2, activation="softmax", use_bias=False, name="answer")(x)
    model = keras.Model(image, x)
    model.get_layer("hidden").set_weights([np.array([[kernel, -kernel], [kernel, -kernel]])])
    model.get_layer("answer").set_weights([np.array([[1.0, -1.0], [0.0, 0.0]])])
    return model


IMAGES = np.array([[[[1, 1]]], [[[3, 3]]]], np.float32)
LABELS = np.array([0, 1], np.int32)
LOSS = keras.losses.SparseCategoricalCrossentropy()


def test_signals_are_those_counted_by_hand() -> None:
    """The hidden layer puts out (1, 0) and (3, 0): half of it is dead."""
    hidden, answer = LayerInspector(toy(), IMAGES, LABELS, LOSS).inspect()
    assert hidden.layer == "hidden"
    assert hidden.dead == 0.5
    assert hidden.rms == pytest.approx(np.sqrt((1 + 9) / 4))
    assert hidden.spread == pytest.approx(np.sqrt((1 + 0) / 2) / np.sqrt(2.5))
    assert answer.dead == 0


def test_gradient_is_the_losses_own_by_finite_differences() -> None:
    model, step = toy(), 1e-3
    kernel = model.get_layer("hidden").get_weights()[0]
    expected = np.zeros_like(kernel)
    for index in np.ndindex(kernel.shape):
        losses = []
        for sign in (1, -1):
            moved = kernel.copy()
            moved[index] += sign * step
            model.get_layer("hidden").set_weights([moved])
            losses.append(float(LOSS(LABELS, model(IMAGES))))
        expected[index] = (losses[0] - losses[1]) / (2 * step)
    model.get_layer("hidden").set_weights([kernel])
    hidden, _ = LayerInspector(model, IMAGES, LABELS, LOSS).inspect()
    assert hidden.gradient == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-2)
    assert hidden.step == pytest.approx(hidden.gradient / 0.5, rel=1e-5)


def test_a_dead_layer_passes_no_gradient_and_makes_images_alike() -> None:
    model = toy()
    model.get_layer("hidden").set_weights([np.full((2, 2), -1.0)])
    hidden, answer = LayerInspector(model, IMAGES, LABELS, LOSS).inspect()
    assert (hidden.dead, hidden.spread, hidden.gradient) == (1, 0, 0)
    assert answer.spread == 0


def test_an_inspection_changes_nothing() -> None:
    image = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(2, 3, name="conv", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(keras.layers.ReLU(name="conv_relu")(x))
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    before = model.get_weights()
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype(np.float32)
    signals = LayerInspector(model, images, np.array([0, 1, 0], np.int32), LOSS).inspect()
    assert signals[0].dead <= 1
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
