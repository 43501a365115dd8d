"""What a machine computes with: one device or all of them, and in which precision."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

GAIN_ASKED = 0.8
"""bfloat16 is taken if a convolution needs less than this share of its float32 time."""


def distribute(devices: str) -> AbstractContextManager[Any]:
    """The scope in which a net has to be built and compiled.

    Args:
        devices: one, or all of this machine: every batch is then divided among them, and each
            holds a copy of the net (data parallelism).

    Raises:
        ValueError: if `devices` is neither, or the backend has no way to use several.
    """
    if devices == "one":
        return nullcontext()
    if devices != "all":
        raise ValueError(f"--devices is one or all, not {devices!r}")
    backend = keras.backend.backend()
    if backend == "jax":
        return keras.distribution.DataParallel(auto_shard_dataset=False).scope()
    if backend == "tensorflow":
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        # Not TensorFlow's default, collectives: several synchronised BatchNorms start those in
        # another order on each device, and the training ends with mismatched shapes.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(names, cross_device_ops=reduction).scope()
    raise ValueError(f"--devices all needs the backend jax or tensorflow, and this is {backend}")


def choose_precision(asked: str) -> str:
    """Resolves `auto` by timing one convolution in both precisions.

    Processors do not tell: with AVX512-BF16 and no AMX one gained 2 times, another nothing.

    Args:
        asked: float32, mixed_bfloat16 or auto.

    Returns:
        The name of a Keras dtype policy.
    """
    if asked != "auto":
        return asked
    seconds = {dtype: _time_convolution(dtype) for dtype in ("float32", "bfloat16")}
    faster = seconds["bfloat16"] < GAIN_ASKED * seconds["float32"]
    return "mixed_bfloat16" if faster else "float32"


def _time_convolution(dtype: str) -> float:
    """Fastest of five runs of a 3x3 convolution as VGG has them, in s."""
    rng = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(rng.standard_normal((16, 56, 56, 64), np.float32), dtype)
    kernel = keras.ops.convert_to_tensor(rng.standard_normal((3, 3, 64, 64), np.float32), dtype)

    def convolve() -> float:
        start = time.perf_counter()
        corner = keras.ops.conv(images, kernel, padding="same")[0, 0, 0, 0]
        keras.ops.convert_to_numpy(keras.ops.cast(corner, "float32"))  # waits for the result
        return time.perf_counter() - start

    return _fastest(convolve)


def _fastest(run: Callable[[], float], times: int = 5) -> float:
    run()  # compiles
    return min(run() for _ in range(times))
