"""Trains on one device and on all; run by test_devices.py under each backend.

python -m tests.training.two_devices DATABASE OUT
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import keras

if keras.backend.backend() == "tensorflow":  # before anything else uses it
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [half, half])
else:
    sys.modules["tensorflow"] = None  # a machine that trains with JAX does without

import training.train as module

build_net = module.build_net


def build_without_dropout(*arguments: Any, **options: Any) -> keras.Model:
    """Over two devices dropout draws other lots; everything else must agree."""
    net = build_net(*arguments, **options)
    net.get_layer("dropout").rate = 0.0
    return net


if __name__ == "__main__":
    module.build_net = build_without_dropout
    # Of a gradient that is mere rounding Adam makes a step of full length; a large epsilon not.
    keras.optimizers.Adam = partial(keras.optimizers.Adam, epsilon=0.1)
    for devices in ("one", "all"):
        config = module.TrainConfig(
            net="alexnet",
            data=Path(sys.argv[1]),
            out=Path(sys.argv[2]) / devices,
            size_px=32,
            epochs=2,
            batch_size=4,
            devices=devices,
            precision="float32",
        )
        module.train(config)
    print(len(keras.distribution.list_devices()))
