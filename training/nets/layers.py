"""Layers that Keras does not have. They run on any backend of Keras 3.

Keras derives their configuration from the arguments of their constructors.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

RELU_GAIN = float(np.sqrt(2 / (1 - 1 / np.pi)))
"""Factor that restores unit variance after a ReLU: Brock et al., arXiv 2101.08692, appendix D."""


class LocalContrast(keras.layers.Layer):
    """Computes local contrast, which does not depend on light, exposure and gain.

    The grey image x, 0 to 1, is averaged over `shrink` by `shrink` pixels. Then
    y = (x - m) / (s + floor), where m and s are the mean and the standard deviation of a
    neighbourhood with triangular weights: two box averages of `window_px`. Computes in float32.
    """

    def __init__(self, shrink: int, window_px: int, floor: float = 0.01, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            shrink: factor by which the image is first made smaller, at least 1.
            window_px: side of the box average, in px of the smaller image.
            floor: standard deviation below which contrast counts as noise, for x from 0 to 1.
            kwargs: arguments of `keras.layers.Layer`.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.shrink = shrink
        self.window_px = window_px
        self.floor = floor

    def call(self, images: Any) -> Any:
        """Maps uint8 [B, H, W, C] to float32 [B, H / shrink, W / shrink, 1]."""
        pixels: Any = ops.cast(images, "float32")
        x: Any = ops.mean(pixels / 255.0, axis=-1, keepdims=True)
        if self.shrink > 1:
            x = ops.average_pool(x, self.shrink)
        centred = x - self._neighbourhood(x)
        deviation: Any = ops.sqrt(self._neighbourhood(ops.square(centred)))
        return centred / (deviation + self.floor)

    def _neighbourhood(self, x: Any) -> Any:
        for _ in range(2):  # a column average and a row average are faster than a square one
            x = ops.average_pool(x, (self.window_px, 1), strides=1, padding="same")
            x = ops.average_pool(x, (1, self.window_px), strides=1, padding="same")
        return x


class ScaledConv2D(keras.layers.Layer):
    """Convolves with a standardised kernel and applies ReLU.

    Kernel = gain * RELU_GAIN * (w - mean(w)) / (std(w) * sqrt(fan_in)), with mean and std over
    each filter's fan-in: scaled weight standardisation, Brock et al., arXiv 2101.08692. It keeps
    the signal's variance as batch normalisation does, without any cost per pixel: `folded_weights`
    turns the layer into a plain convolution.
    """

    # Not a subclass of Conv2D: Conv2D saves its own weights, and the gain would be lost.

    def __init__(self, filters: int, kernel_size: int = 3, strides: int = 1, **kwargs: Any) -> None:
        """Creates the layer; `kwargs` are arguments of `keras.layers.Layer`."""
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates kernel [kernel_size, kernel_size, in, filters], gain and bias [filters]."""
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="he_normal", name="kernel")
        self.gain = self.add_weight(shape=(self.filters,), initializer="ones", name="gain")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Maps [B, H, W, in] to [B, ceil(H / strides), ceil(W / strides), filters]."""
        kernel = ops.cast(self._standardised_kernel(), self.compute_dtype)
        x: Any = ops.conv(inputs, kernel, strides=self.strides, padding="same")
        return ops.relu(x + ops.cast(self.bias, self.compute_dtype))

    def folded_weights(self) -> list[Any]:
        """Returns the kernel and the bias of the plain convolution with the same output."""
        return [ops.convert_to_numpy(self._standardised_kernel()), self.bias.numpy()]

    def set_folded_weights(self, weights: list[Any]) -> None:
        """Sets the weights so that the output equals that of a plain convolution and a ReLU.

        The kernel is scaled to the size of an initial kernel; the gain takes the other factor.

        Args:
            weights: kernel [kernel_size, kernel_size, in, filters], every filter of mean 0, and
                bias [filters].
        """
        kernel, bias = weights
        rms = np.sqrt(np.square(kernel).mean(axis=(0, 1, 2)))
        fan_in = float(np.prod(kernel.shape[:3]))
        sized = kernel * np.sqrt(2 / fan_in) / np.maximum(rms, 1e-12)
        self.set_weights([sized, rms * np.sqrt(fan_in) / RELU_GAIN, bias])

    def _standardised_kernel(self) -> Any:
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), "float32")
        moments: Any = ops.moments(kernel, axes=(0, 1, 2), keepdims=True)
        mean, variance = moments
        fan_in = float(np.prod(self.kernel.shape[:3]))
        scale = ops.rsqrt(ops.maximum(variance * fan_in, 1e-4))
        gain: Any = ops.cast(self.gain, "float32")
        return RELU_GAIN * gain * (kernel - mean) * scale


class CosineClassifier(keras.layers.Layer):
    """Computes an embedding's cosine similarity with one prototype per identity, in float32."""

    def __init__(self, identities: int, **kwargs: Any) -> None:
        """Creates the layer; `kwargs` are arguments of `keras.layers.Layer`."""
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.identities = identities

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the prototypes [identities, D]."""
        self.prototypes = self.add_weight(
            (self.identities, input_shape[-1]), "glorot_normal", name="prototypes"
        )

    def call(self, embeddings: Any) -> Any:
        """Maps embeddings [B, D] of length 1 to similarities [B, identities] in [-1, 1]."""
        prototypes = ops.normalize(ops.convert_to_tensor(self.prototypes), axis=-1)
        return ops.matmul(embeddings, ops.transpose(prototypes))
