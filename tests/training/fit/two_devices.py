"""Trains on one device and on all; run by test_devices.py in a process of its own.

python -m tests.training.fit.two_devices DATABASE OUT
"""

import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

if keras.backend.backend() == "tensorflow":  # before anything else uses it
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["DEVICES"])
    tf.config.set_logical_device_configuration(processor, parts)
else:
    sys.modules["tensorflow"] = None  # a machine that trains with JAX does without

from training.commands.train import TrainConfig, train
from training.fit.devices import compiled


class PlainDescent(keras.callbacks.Callback):
    """Makes Adam's steps proportional to the gradient, whose wrong size it would hide."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model: Any = self.model
        model.optimizer.epsilon = 1.0


def require_compiled_nets_as_they_are() -> None:
    """A compiled net has the net's outputs, also after its weights have changed."""
    net = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    images = np.random.default_rng(0).random((4, 2, 2, 3), np.float32)
    run = compiled(net)
    for factor in (1, -2):
        net.set_weights([factor * weight for weight in net.get_weights()])
        found, expected = (keras.ops.convert_to_numpy(one(images)) for one in (run, net))
        np.testing.assert_allclose(found, expected, atol=1e-5)


if __name__ == "__main__":
    require_compiled_nets_as_they_are()
    database, out = map(Path, sys.argv[1:])
    for devices in ("one", "all"):
        config = TrainConfig(
            net="alexnet",
            data=database,
            out=out / devices,
            size_px=32,
            epochs=3,
            batch_size=10,
            devices=devices,
            precision="float32",
            augment="none",
            dropout=0.0,  # each device would draw its own
            schedule="constant",
            learning_rate=3.0,
            clip_norm=0.1,
        )
        train(config, [PlainDescent()])
    print(len(keras.distribution.list_devices()))
