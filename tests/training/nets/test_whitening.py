"""A whitened net is the same net with other last weights, and compares strangers better."""

import keras
import numpy as np

from training.metrics.open_set import compiled_embedder, measure_open_set
from training.nets.build import build_net
from training.nets.recipe import Recipe
from training.nets.whitening import SHRINKAGE, whiten, within_class_whitening
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import TRAINING


def draw_pairs(count: int, size: int = 6) -> np.ndarray:
    """Pairs whose members differ ten times as much in the first direction as in the others."""
    rng = np.random.default_rng(1)
    sessions = rng.normal(size=(count, 2, size)) * ([1.0] + [0.1] * (size - 1))
    return (5 + rng.normal(size=(count, 1, size)) + sessions).astype(np.float32)


def test_differences_between_sessions_are_made_equal_in_all_directions() -> None:
    features = draw_pairs(4000)
    mean, matrix = within_class_whitening(features)
    white = (features - mean) @ matrix
    np.testing.assert_allclose(white.mean(axis=(0, 1)), 0, atol=1e-3)
    # Equal after whitening is every variance plus the shrinkage times their mean, the level.
    level = (1 + 5 * 0.01) / 6
    expected = [v / (v / level + SHRINKAGE) for v in (1.0, *[0.01] * 5)]
    found = np.var(white[:, 0] - white[:, 1], axis=0) / 2
    np.testing.assert_allclose(found, expected, rtol=0.08)


def test_a_whitened_net_gives_the_whitened_output() -> None:
    net = build_net("alexnet", 3, Recipe(contrast_px=32, embedding_size=6), input_px=32)
    norm = net.get_layer("dense_norm")
    rng = np.random.default_rng(2)
    weights = [rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)]
    weights[3] *= 1e10  # as large as with VGG's features; the kernel must not have to undo it
    norm.set_weights(weights)
    size = np.abs(net.get_layer("dense").get_weights()[0]).mean()
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    part = keras.Model(net.input, norm.output)
    before = np.asarray(part(images))
    features = draw_pairs(50)
    whiten(net, features)
    mean, matrix = within_class_whitening(features)
    np.testing.assert_allclose(part(images), (before - mean) @ matrix, rtol=1e-3, atol=1e-3)
    assert 0.3 < np.abs(net.get_layer("dense").get_weights()[0]).mean() / size < 3


def test_a_whitened_net_tells_strangers_apart_better() -> None:
    keras.utils.set_random_seed(3)
    net = build_net("alexnet", 1, Recipe(contrast_px=32), input_px=32)
    monitored = draw_strangers(40, 11, TRAINING, side_px=32)
    before = measure_open_set(compiled_embedder(net), monitored)["eer"]
    part = keras.Model(net.input, net.get_layer("dense_norm").output)
    others = draw_strangers(120, 12, TRAINING, shots=1, side_px=32)
    images = np.repeat(others.pixels[..., None], 3, axis=-1)
    whiten(net, np.asarray(part.predict(images, verbose=0)).reshape(120, 2, -1))
    assert measure_open_set(compiled_embedder(net), monitored)["eer"] < before - 0.02
