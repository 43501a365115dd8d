"""Devices and precision of a computation."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

BFLOAT16_GAIN = 0.8
"""bfloat16 is chosen if a convolution takes less than this share of the time in float32."""


class DataParallel(keras.distribution.DataParallel):
    """Data parallelism that runs a whole batch on every device if it does not divide among them."""

    def get_data_layout(self, data_shape: Sequence[int]) -> Any:
        """Returns the layout of a batch of shape [B, ...]."""
        if data_shape[0] % self.num_model_replicas:
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)


def distribute(devices: str) -> AbstractContextManager[Any]:
    """Returns the scope in which to build, compile and train a net.

    Args:
        devices: one; or all devices of this machine, each with a copy of the net and a part of
            every batch.

    Raises:
        ValueError: if `devices` is neither, or the backend cannot use several.
    """
    if devices == "one":
        return nullcontext()
    if devices != "all":
        raise ValueError(f"--devices must be one or all, not {devices!r}")
    backend = keras.backend.backend()
    if backend == "jax":
        return DataParallel().scope()
    if backend == "tensorflow":
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        # TensorFlow's default, collectives, fails: synchronised BatchNorms start them in a
        # different order on each device, and the shapes do not match.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(names, cross_device_ops=reduction).scope()
    raise ValueError(f"--devices all needs the backend jax or tensorflow, not {backend}")


def device_count() -> int:
    """Returns the number of devices that share a batch in the current scope of `distribute`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution: Any = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution else 1


def require_divisible(batch_size: int, devices: int) -> None:
    """Checks that a batch divides among the devices.

    Raises:
        ValueError: if it does not; the message names the nearest sizes that do.
    """
    if rest := batch_size % devices:
        sizes = [size for size in (batch_size - rest, batch_size - rest + devices) if size]
        raise ValueError(
            f"--batch-size {batch_size} does not divide among {devices} devices: "
            f"give {' or '.join(map(str, sizes))}"
        )


def adam(learning_rate: Any, clip_norm: float, averaged: float = 0.0) -> keras.optimizers.Optimizer:
    """Returns an Adam optimizer that clips each weight's gradient of the whole batch.

    Args:
        learning_rate: a rate or a schedule.
        clip_norm: largest norm of a gradient; 0 for no limit.
        averaged: share of the weights' running mean that a step keeps, below 1; 0 for no mean.
    """
    several = keras.backend.backend() == "tensorflow" and device_count() > 1
    kind = ClipsTheSum if several and clip_norm else keras.optimizers.Adam
    return kind(
        learning_rate,
        clipnorm=clip_norm or None,
        use_ema=averaged > 0,
        ema_momentum=averaged,
    )


class ClipsTheSum(keras.optimizers.Adam):
    """Adam that clips the sum of the devices' gradients, for TensorFlow.

    Keras clips each device's gradient and then adds them up, so the steps of two devices could be
    twice as long as those of one. Here each device gets an equal part of the clipped sum. The parts
    are too small for Keras to clip them again, and they add up to the clipped sum.
    """

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Updates the weights; called on every device with its own gradients."""
        import tensorflow as tf

        device: Any = tf.distribute.get_replica_context()
        sums = device.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        parts = [tf.clip_by_norm(g, self.clipnorm) / device.num_replicas_in_sync for g in sums]
        super().apply(parts, trainable_variables)


@contextmanager
def use_precision(policy: str) -> Iterator[None]:
    """Sets Keras's dtype policy for a `with` block, and restores the previous policy after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def choose_precision(asked: str, seconds_of: Callable[[str], float] | None = None) -> str:
    """Resolves the precision `auto` by timing one convolution in float32 and in bfloat16.

    The instruction set of a processor does not show which is faster, so it is measured.

    Args:
        asked: float32, mixed_bfloat16 or auto.
        seconds_of: returns the time of the convolution in a dtype; by default
            `time_convolution`.

    Returns:
        The name of a Keras dtype policy.
    """
    if asked != "auto":
        return asked
    measure = seconds_of or time_convolution
    faster = measure("bfloat16") < BFLOAT16_GAIN * measure("float32")
    return "mixed_bfloat16" if faster else "float32"


def time_convolution(dtype: str) -> float:
    """Returns the shortest time in s of five runs of a 3x3 convolution as large as a VGG's."""
    rng = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(rng.standard_normal((16, 56, 56, 64), np.float32), dtype)
    kernel = keras.ops.convert_to_tensor(rng.standard_normal((3, 3, 64, 64), np.float32), dtype)

    def convolve() -> float:
        start = time.perf_counter()
        convolved: Any = keras.ops.conv(images, kernel, padding="same")
        corner = keras.ops.cast(convolved[0, 0, 0, 0], "float32")
        keras.ops.convert_to_numpy(corner)  # waits for the result
        return time.perf_counter() - start

    convolve()  # compiles
    return min(convolve() for _ in range(5))


def compiled(net: keras.Model) -> Callable[[Any], Any]:
    """Returns a function that runs a net on a batch of images, always with its current weights.

    On JAX the function is compiled as a whole; a plain call would compile the layers every time.
    """
    if keras.backend.backend() != "jax":
        return lambda images: net(images, training=False)
    import jax

    @jax.jit
    def run(trainable: Any, others: Any, images: Any) -> Any:
        return net.stateless_call(trainable, others, images, training=False)[0]

    def call(images: Any) -> Any:
        trainable = [variable.value for variable in net.trainable_variables]
        others = [variable.value for variable in net.non_trainable_variables]
        return run(trainable, others, images)

    return call
