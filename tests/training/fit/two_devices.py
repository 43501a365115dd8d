"""Trains on one device, on all, or on one of two processes; run by test_devices.py.

python -m tests.training.fit.two_devices DATABASE OUT DEVICES...
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
    import jax

    sys.modules["tensorflow"] = None  # a machine that trains with JAX does without
    if "COORDINATOR" in os.environ:
        jax.distributed.initialize(os.environ["COORDINATOR"], 2, int(os.environ["PROCESS"]))

import training.commands.train as module
from training.fit.devices import adam, compiled, distribute, process_share, require_agreement

build_net = module.build_from_recipe


def build_without_dropout(*arguments: Any, **options: Any) -> keras.Model:
    """Over several devices dropout draws other lots; everything else must agree."""
    net = build_net(*arguments, **options)
    net.get_layer("dropout").rate = 0.0
    return net


def plain_descent(learning_rate: Any, clip_norm: float) -> keras.optimizers.Adam:
    """Adam divides by the gradient's size, and so would hide a wrong one; but not with this."""
    optimizer = adam(learning_rate, clip_norm)
    optimizer.epsilon = 1.0
    return optimizer


def disagree() -> str:
    """What two processes are told that start differently."""
    require_agreement(seed=1, precision="float32")
    try:
        require_agreement(seed=1, precision=f"float{os.environ['PROCESS']}")
    except ValueError as error:
        return str(error)
    return "nothing"


def require_compiled_nets_as_they_are() -> None:
    """A compiled net answers as the net does, and goes on doing so when its weights change."""
    net = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    images = np.random.default_rng(0).random((4, 2, 2, 3), np.float32)
    answer = compiled(net)
    for factor in (1, -2):
        net.set_weights([factor * weight for weight in net.get_weights()])
        found, expected = (keras.ops.convert_to_numpy(one(images)) for one in (answer, net))
        np.testing.assert_allclose(found, expected, atol=1e-5)


if __name__ == "__main__":
    require_compiled_nets_as_they_are()
    module.build_from_recipe = build_without_dropout
    module.adam = plain_descent
    database, out, *choices = sys.argv[1:]
    for devices in choices:
        config = module.TrainConfig(
            net="alexnet",
            data=Path(database),
            out=Path(out) / devices,
            size_px=32,
            epochs=4,
            batch_size=10,
            devices=devices,
            precision="float32",
            augment="none",
            schedule="constant",
            learning_rate=3.0,
            clip_norm=0.1,
        )
        module.train(config)
    print(len(keras.distribution.list_devices()))
    if "PROCESS" in os.environ:
        with distribute("all"):
            print(process_share())
            print(disagree())
