"""The running mean of a training's weights."""

from typing import Any

import keras
import numpy as np
import pytest

from training.fit.average import RunningMean
from training.fit.devices import adam

SHARE = 0.7
"""Share of the mean that a step keeps."""


class Remember(keras.callbacks.Callback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        model: Any = self.model
        self.seen.append(model.get_weights()[0].copy())


def build() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])


def test_a_net_gets_the_mean_of_the_weights_and_the_training_goes_on_from_the_last() -> None:
    rng = np.random.default_rng(0)
    net, mean, remember = build(), build(), Remember()
    net.compile(optimizer=adam(0.1, 1.0, SHARE), loss="mse")
    found: list[np.ndarray] = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(mean.get_weights()[0].copy())
    )
    images, wanted = rng.normal(size=(12, 3)), rng.normal(size=(12, 1))
    net.fit(
        images, wanted, batch_size=4, epochs=2, verbose=0,
        callbacks=[remember, RunningMean(mean), look],
    )  # fmt: skip

    expected, means = remember.seen[0], []
    for weights in remember.seen:
        expected = SHARE * expected + (1 - SHARE) * weights
        means.append(expected)
    assert len(remember.seen) == 6
    assert found[0] == pytest.approx(means[2], abs=1e-5)
    assert found[1] == pytest.approx(means[5], abs=1e-5)
    assert np.abs(found[0] - remember.seen[2]).max() > 0.01
    assert np.abs(remember.seen[3] - remember.seen[2]).max() < 0.11  # one step of Adam
