"""Measures signals inside a net: output, dead units and gradient of every layer, on a few images.

They show in which layer of a dead net the images become alike, and where the gradient vanishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms
from training.fit.batches import as_colour
from training.fit.devices import compiled

INSPECTED_IMAGES = 32


@dataclass(frozen=True, slots=True)
class LayerSignal:
    """Signals of one layer for a batch of images.

    Attributes:
        layer: name of the layer.
        rms: root mean square of its output.
        spread: difference of the output between images: the root mean square, over units, of the
            standard deviation over images, divided by `rms`. 0: the same for every image.
        dead: share of units (channels of a convolution) that are 0 everywhere in every image.
        gradient: root mean square of the loss's gradient for the kernel; NaN if it is frozen.
        step: `gradient` divided by the root mean square of the kernel.
    """

    layer: str
    rms: float
    spread: float
    dead: float
    gradient: float
    step: float


class LayerInspector:
    """Measures the signals of a net's layers on the same images at every call."""

    def __init__(
        self, net: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32], loss: Any
    ) -> None:
        """Creates the inspector.

        Args:
            net: model from images to one output, such as from `training.nets.build.scoring_model`.
            images: uint8 [B, S, S, 3]; 32 are enough.
            labels: int32 [B].
            loss: the loss that the net is trained with.
        """
        self._images, self._labels = np.ascontiguousarray(images), labels
        self._layers = [layer for layer in net.layers if kernel_of(layer) is not None]
        outputs = [_after_activation(net, layer) for layer in self._layers]
        self._activations = compiled(keras.Model(net.input, outputs))
        self._twin = keras.Model(net.input, net.output)  # the same weights
        self._loss = loss
        self._recorder = _GradientRecorder()
        self._recorded: list[str] = []

    def inspect(self) -> list[LayerSignal]:
        """Returns the signals of every layer that has a kernel, from the first to the last."""
        activations = self._activations(self._images)
        outputs = activations if isinstance(activations, list) else [activations]
        gradients = self._gradients()
        return [
            _measure(layer, np.asarray(keras.ops.convert_to_numpy(output)), gradients)
            for layer, output in zip(self._layers, outputs, strict=True)
        ]

    def _gradients(self) -> dict[str, NDArray[Any]]:
        """Returns the loss's gradient for every trainable weight, by the weight's path."""
        weights = self._twin.trainable_variables
        if self._recorded != (paths := [weight.path for weight in weights]):
            # The first call, or layers were frozen or unfrozen since the last one.
            self._recorded, self._recorder = paths, _GradientRecorder()
            self._twin.compile(optimizer=self._recorder, loss=self._loss)
            self._recorder.build(weights)  # otherwise TensorFlow traces a step twice
        states = self._twin.non_trainable_variables
        kept = [keras.ops.convert_to_numpy(state) for state in states]
        self._twin.train_on_batch(self._images, self._labels)
        for state, value in zip(states, kept, strict=True):
            state.assign(value)  # a training step changes BatchNorm's averages and dropout's seed
        return {
            path: np.asarray(keras.ops.convert_to_numpy(gradient))
            for path, gradient in zip(paths, self._recorder.recorded, strict=True)
        }


def spread_images(
    palms: Palms, count: int = INSPECTED_IMAGES
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Returns evenly spaced images of a part, uint8 [count, S, S, 3], and their labels [count]."""
    chosen = np.linspace(0, len(palms) - 1, count).astype(int)
    return as_colour(palms.images(chosen)), palms.labels[chosen]


def kernel_of(layer: Any) -> Any:
    """Returns the kernel or the prototypes of a layer; None if it has neither."""
    for name in ("kernel", "prototypes"):
        if (weight := getattr(layer, name, None)) is not None:
            return weight
    return None


def _measure(
    layer: Any, output: NDArray[Any], gradients: Mapping[str, NDArray[Any]]
) -> LayerSignal:
    output = output.astype(np.float32)
    kernel = kernel_of(layer)
    weights = np.asarray(keras.ops.convert_to_numpy(kernel))
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
    """An optimizer that stores the gradients and does not change the weights."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="gradient_recorder")

    def build(self, variables: list[Any]) -> None:
        super().build(variables)
        self.recorded = [
            self.add_variable_from_reference(weight, name="gradient") for weight in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        slot: Any = self.recorded[self._get_variable_index(variable)]
        self.assign(slot, keras.ops.cast(gradient, slot.dtype))


def _after_activation(net: keras.Model, layer: Any) -> Any:
    """Returns a layer's output after its ReLU, which is a separate layer after a BatchNorm."""
    names = {other.name for other in net.layers}
    relu = f"{layer.name}_relu"
    return (net.get_layer(relu) if relu in names else layer).output


def _rms(values: NDArray[Any]) -> float:
    flat = values.ravel()
    return float(np.linalg.norm(flat)) / float(np.sqrt(flat.size))  # BLAS: 17 million in 10 ms
