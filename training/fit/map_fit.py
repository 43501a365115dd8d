"""Sets the weights of a net's map head by a principal component analysis, without training."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms, Pixels
from training.fit.batches import in_batches
from training.fit.devices import compiled

HEADS = ("map_local", "map_wide")
"""The two convolutions of a map head."""

FIT_IMAGES = 1024
"""Images that suffice: 800,000 places for the covariance of 64 or 96 features."""

LEAST_VARIANCE = 1e-6
"""Least variance of a component as a share of the largest; a smaller one is rounding error."""

Float64 = NDArray[np.float64]


def fit_map(net: keras.Model, batches: Iterable[Pixels]) -> None:
    """Sets a net's map head so that its channels are uncorrelated and of unit variance.

    The channels are the first principal components of the features before the head over the usable
    places of all images, each image's mean subtracted, because the map subtracts it too. Local and
    wide channels are analysed apart.

    Args:
        net: a net with a map head; the weights of `map_local` and `map_wide` are changed.
        batches: images uint8 [B, S, S, 3]; `FIT_IMAGES` are enough.
    """
    layers = {name: net.get_layer(name) for name in HEADS}
    tensors = {name: layer.input for name, layer in layers.items()}
    run = compiled(keras.Model(net.input, {**tensors, "mask": net.get_layer("mask").output}))
    moments = {name: _Moments() for name in HEADS}
    for images in batches:
        found: Any = {name: _numpy(value) for name, value in run(images).items()}
        for name in HEADS:
            moments[name].add(found[name], found["mask"])
    for name, layer in layers.items():
        mean, matrix = moments[name].components(layer.filters)
        layer.set_weights([matrix[None, None], -mean @ matrix])


def spread_batches(palms: Palms, count: int = FIT_IMAGES) -> Iterable[Pixels]:
    """Returns batches of `count` evenly spaced images of a part, or of all if there are fewer."""
    chosen = np.unique(np.linspace(0, len(palms) - 1, count).astype(int))
    mask = np.zeros(len(palms), bool)
    mask[chosen] = True
    return in_batches(palms.select(mask), 64)


class _Moments:
    """Sums over batches for a mean and a within-image covariance."""

    def __init__(self) -> None:
        self._count = 0.0
        self._sum: Any = 0.0
        self._products: Any = 0.0

    def add(self, features: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """Adds features [B, S, S, D] at the usable places of a mask [B, S, S]."""
        weights = mask.reshape(len(mask), -1, 1)
        x = features.reshape(len(mask), -1, features.shape[-1])
        count = weights.sum(axis=1, keepdims=True)
        sums = (weights * x).sum(axis=1, keepdims=True)
        centred = (weights * (x - sums / np.maximum(count, 1))).reshape(-1, x.shape[-1])
        self._count += float(count.sum())
        self._sum += sums.sum(axis=(0, 1)).astype(np.float64)
        self._products += (centred.T @ centred).astype(np.float64)

    def components(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns a mean [D] and a matrix [D, count], whose columns are scaled components.

        (x - mean) @ matrix has uncorrelated columns of variance 1 within images.
        """
        values, vectors = np.linalg.eigh(self._products / self._count)
        values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
        # The sign of a component is arbitrary; this one does not depend on the library.
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(count)])
        scale = np.sqrt(np.maximum(values, values[0] * LEAST_VARIANCE + 1e-12))
        mean = self._sum / self._count
        return mean.astype(np.float32), (vectors / scale).astype(np.float32)


def _numpy(value: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(value)).astype(np.float32)
