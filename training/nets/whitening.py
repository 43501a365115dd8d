"""Whitening of embeddings: within-class covariance normalisation in a net's last layers."""

import keras
import numpy as np
from numpy.typing import NDArray

SHRINKAGE = 0.3
"""Shrinkage of the within-class covariance towards a multiple of the identity matrix."""

Float32 = NDArray[np.float32]


def whiten(net: keras.Model, features: Float32) -> None:
    """Folds a whitening into a net's last layers; the net's size and speed do not change.

    Args:
        net: a net with an embedding head; the weights of `dense` and `dense_norm` are changed.
        features: float32 [P, 2, D], outputs of the layer `dense_norm` for pairs of images of one
            palm in two sessions, photographed and degraded as in training.
    """
    mean, matrix = within_class_whitening(features)
    dense, norm = net.get_layer("dense"), net.get_layer("dense_norm")
    (kernel,) = dense.get_weights()
    gamma, beta, moving_mean, moving_variance = norm.get_weights()
    scale = gamma / np.sqrt(moving_variance + norm.epsilon)
    whitening_kernel = kernel * scale @ matrix
    # Columns keep the kernel's size and gamma takes the other factor: float16 rounds small columns.
    sizes = _rms(whitening_kernel, axis=0) / _rms(kernel)
    dense.set_weights([whitening_kernel / sizes])
    ones = np.ones_like(gamma)
    offset = (beta - moving_mean * scale - mean) @ matrix
    norm.set_weights([sizes * np.sqrt(ones + norm.epsilon), offset, np.zeros_like(gamma), ones])


def within_class_whitening(features: Float32) -> tuple[Float32, Float32]:
    """Computes the within-class covariance normalisation of A. Hatch et al., Interspeech 2006.

    Args:
        features: float32 [P, 2, D], pairs of one class each.

    Returns:
        A mean float32 [D] and a matrix float32 [D, D]. Without shrinkage, (x - mean) @ matrix has
        the same within-class variance in every direction.
    """
    size = features.shape[-1]
    half = (features[:, 0] - features[:, 1]) / np.sqrt(2)
    within = half.T @ half / len(half)
    level = np.trace(within) / size
    values, vectors = np.linalg.eigh(within / level + SHRINKAGE * np.eye(size))
    matrix = (vectors / np.sqrt(values)) @ vectors.T
    return features.mean(axis=(0, 1)), matrix.astype(np.float32)


def _rms(values: Float32, axis: int | None = None) -> Float32:
    return np.sqrt(np.square(values).mean(axis=axis))
