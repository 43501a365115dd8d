"""What a machine computes with: one device or all of them, and in which precision."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Any

import keras
import numpy as np

GAIN_ASKED = 0.8
"""bfloat16 is taken if a convolution needs less than this share of its float32 time."""


class DataParallel(keras.distribution.DataParallel):
    """Divides what divides among the devices; of anything else each device computes all of it."""

    def __init__(self) -> None:
        # Nothing to shard for Keras: Batches and Ordered read one process's share.
        super().__init__(auto_shard_dataset=False)

    def get_data_layout(self, data_shape: Sequence[int]) -> keras.distribution.TensorLayout:
        """The layout of this process's part of a batch; its shape is [B, ...]."""
        if data_shape[0] * self.num_processes % self.num_model_replicas:
            whole = [None] * len(data_shape)
            return keras.distribution.TensorLayout(whole, self.device_mesh)
        return super().get_data_layout(data_shape)


def distribute(devices: str) -> AbstractContextManager[Any]:
    """The scope in which a net has to be built, compiled and fed.

    Args:
        devices: one, or all: every batch is then divided among them, and each holds a copy of the
            net (data parallelism). All are this machine's, on JAX those of every process that
            `jax.distributed.initialize` has joined.

    Raises:
        ValueError: if `devices` is neither, or the backend has no way to use several.
    """
    if devices == "one":
        return nullcontext()
    if devices != "all":
        raise ValueError(f"--devices is one or all, not {devices!r}")
    backend = keras.backend.backend()
    if backend == "jax":
        return DataParallel().scope()
    if backend == "tensorflow":
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        # Not TensorFlow's default, collectives: several synchronised BatchNorms start those in
        # another order on each device, and the training ends with mismatched shapes.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(names, cross_device_ops=reduction).scope()
    raise ValueError(f"--devices all needs the backend jax or tensorflow, and this is {backend}")


def device_count() -> int:
    """Devices that share a batch in the scope of `distribute`, over all processes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution else 1


def process_share() -> slice:
    """Which images of a batch this process reads: of P processes every P-th."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return slice(None)
    return slice(distribution.data_shard_id, None, distribution.num_processes)


def require_divisible(batch_size: int, devices: int) -> None:
    """Every device must have as many images of a batch as the others.

    Raises:
        ValueError: if they cannot; the sizes that can are named.
    """
    if rest := batch_size % devices:
        sizes = [size for size in (batch_size - rest, batch_size - rest + devices) if size]
        raise ValueError(
            f"--batch-size {batch_size} does not divide among {devices} devices: "
            f"give {' or '.join(map(str, sizes))}"
        )


def require_agreement(**facts: Any) -> None:
    """All processes of a job must start alike: else each would wait for what no other does.

    Args:
        facts: what has to be the same in all, by name; anything that JSON can hold.

    Raises:
        ValueError: in every process, if one differs; the facts are named.
    """
    if process_share() in (slice(None), slice(0, None, 1)):
        return
    from jax.experimental.multihost_utils import process_allgather

    digests = [sha256(json.dumps(fact, default=str).encode()).digest() for fact in facts.values()]
    every = process_allgather(np.array([list(digest) for digest in digests], np.uint8))
    same = (every == every[0]).all(axis=(0, 2))  # [processes, facts, bytes] to [facts]
    if not same.all():
        differ = [f"{n} (here {facts[n]!r})" for n, ok in zip(facts, same, strict=True) if not ok]
        raise ValueError(f"the processes differ in {', '.join(differ)}: start all of them alike")


def adam(learning_rate: Any, clip_norm: float) -> keras.optimizers.Adam:
    """Adam that clips each weight's gradient of the whole batch, however many devices share it.

    Args:
        learning_rate: a rate or a schedule.
        clip_norm: norm to which a gradient is scaled down; 0 leaves it.
    """
    several = keras.backend.backend() == "tensorflow" and device_count() > 1
    kind = ClipsTheSum if several and clip_norm else keras.optimizers.Adam
    return kind(learning_rate, clipnorm=clip_norm or None)


class ClipsTheSum(keras.optimizers.Adam):
    """On TensorFlow Keras clips each device's part of a gradient, and then adds the parts.

    Two devices would make steps up to twice as long as one. Here the sum is clipped, and each
    device gets an equal part of it: too short for Keras to clip, and the parts add up to the sum.
    """

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Updates the weights; called on every device with its part of the gradients."""
        import tensorflow as tf

        device = tf.distribute.get_replica_context()
        sums = device.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        parts = [tf.clip_by_norm(g, self.clipnorm) / device.num_replicas_in_sync for g in sums]
        super().apply(parts, trainable_variables)


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


def compiled(net: keras.Model) -> Callable[[Any], Any]:
    """A net for images by the batch, as it is at each call, not training.

    On JAX in one piece: called as it stands, it would compile its layers anew at every call.
    """
    if keras.backend.backend() != "jax":
        return lambda images: net(images, training=False)
    import jax

    @jax.jit
    def answer(trainable: Any, others: Any, images: Any) -> Any:
        return net.stateless_call(trainable, others, images, training=False)[0]

    def call(images: Any) -> Any:
        trainable = [variable.value for variable in net.trainable_variables]
        others = [variable.value for variable in net.non_trainable_variables]
        return answer(trainable, others, images)

    return call
