"""What goes on inside a net: signal, dead units and gradient of every layer, on a few images.

A net that is stuck at the loss ln C gives every image the same answer. Here is seen where the
images became alike, and where the gradient ends.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LayerSignal:
    """One layer on a batch of images.

    Attributes:
        layer: its name.
        rms: root mean square of its output.
        spread: how much of the output tells images apart: the root mean square, over units, of
            the standard deviation over images, divided by `rms`. 0: the same for every image.
        dead: share of units (channels of a convolution) that are 0 at every place of every image.
        gradient: root mean square of the loss's gradient to its kernel; NaN if it is frozen.
        step: `gradient` over the kernel's own root mean square.
    """

    layer: str
    rms: float
    spread: float
    dead: float
    gradient: float
    step: float


class LayerInspector:
    """A few images with which to look into a net, again and again, without changing it."""

    def __init__(
        self, scores: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32], loss: Any
    ) -> None:
        """Creates the probe.

        Args:
            scores: from image to one output, as `training.nets.build.scoring_model` gives it.
            images: uint8 [B, S, S, 3]; 32 tell enough.
            labels: int32 [B].
            loss: what the net is trained with.
        """
        self._images, self._labels = images, labels
        self._layers = [layer for layer in scores.layers if kernel_of(layer) is not None]
        outputs = [_after_activation(scores, layer) for layer in self._layers]
        self._activations = keras.Model(scores.input, outputs)
        self._twin = keras.Model(scores.input, scores.output)  # the same weights
        self._loss = loss
        self._recorder = _GradientRecorder()
        self._recorded: list[str] = []

    def inspect(self) -> list[LayerSignal]:
        """Every layer with a kernel of its own, from the image to the answer."""
        activations = self._activations(self._images, training=False)
        outputs = activations if isinstance(activations, list) else [activations]
        gradients = self._gradients()
        return [
            _measure(layer, keras.ops.convert_to_numpy(output), gradients)
            for layer, output in zip(self._layers, outputs, strict=True)
        ]

    def _gradients(self) -> dict[str, NDArray[Any]]:
        """The loss's gradient to every trainable weight, by its path, on any backend."""
        weights = self._twin.trainable_variables
        if self._recorded != (paths := [weight.path for weight in weights]):
            self._recorded, self._recorder = paths, _GradientRecorder()  # layers froze or thawed
            self._twin.compile(optimizer=self._recorder, loss=self._loss)
        states = self._twin.non_trainable_variables
        kept = [keras.ops.convert_to_numpy(state) for state in states]
        self._twin.train_on_batch(self._images, self._labels)
        for state, value in zip(states, kept, strict=True):
            state.assign(value)  # a training step moves BatchNorm's averages and dropout's seed
        return {
            path: keras.ops.convert_to_numpy(gradient)
            for path, gradient in zip(paths, self._recorder.recorded, strict=True)
        }


def kernel_of(layer: keras.layers.Layer) -> Any:
    """The weight that a layer multiplies its input with, or None if it has none."""
    for name in ("kernel", "prototypes"):
        if (weight := getattr(layer, name, None)) is not None:
            return weight
    return None


def _measure(
    layer: keras.layers.Layer, output: NDArray[Any], gradients: dict[str, NDArray[Any]]
) -> LayerSignal:
    output = output.astype(np.float32)
    kernel = kernel_of(layer)
    weights = keras.ops.convert_to_numpy(kernel)
    rms = _rms(output)
    gradient = _rms(gradients[kernel.path]) if kernel.path in gradients else np.nan  # frozen
    return LayerSignal(
        layer=layer.name,
        rms=rms,
        spread=_rms(output.std(axis=0)) / rms if rms > 0 else 0.0,
        dead=float((output == 0).all(axis=tuple(range(output.ndim - 1))).mean()),
        gradient=gradient,
        step=gradient / max(_rms(weights), 1e-12),
    )


class _GradientRecorder(keras.optimizers.Optimizer):
    """An optimizer that keeps the gradients and leaves the weights as they are."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="gradient_recorder")

    def build(self, variables: list[Any]) -> None:
        super().build(variables)
        self.recorded = [
            self.add_variable_from_reference(weight, name="gradient") for weight in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        slot = self.recorded[self._get_variable_index(variable)]
        self.assign(slot, keras.ops.cast(gradient, slot.dtype))


def _after_activation(scores: keras.Model, layer: keras.layers.Layer) -> Any:
    """A BatchNorm net has its ReLU in a layer of its own."""
    names = {other.name for other in scores.layers}
    relu = f"{layer.name}_relu"
    return (scores.get_layer(relu) if relu in names else layer).output


def _rms(values: NDArray[Any]) -> float:
    flat = values.ravel()
    return float(np.linalg.norm(flat)) / float(np.sqrt(flat.size))  # BLAS: 17 million in 10 ms
