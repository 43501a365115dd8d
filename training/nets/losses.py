"""Losses that require a margin between the true identity and the most similar other one."""

from itertools import product
from typing import Any

import keras
from keras import ops

from training.nets.recipe import LOSS_SHIFT


class _Margin(keras.losses.Loss):
    """A loss with logits scale * (similarity - margin at the true identity)."""

    def __init__(self, scale: float = 24.0, margin: float = 0.1, **options: Any) -> None:
        """Creates the loss.

        Args:
            scale: factor from similarity to logit, above 0.
            margin: similarity by which the true identity must win, from 0 to 1.
            options: arguments of `keras.losses.Loss`.
        """
        super().__init__(**options)
        self.scale = scale
        self.margin = margin


class MarginLoss(_Margin):
    """CosFace: the cross-entropy of scale * (similarity - margin at the true identity).

    Wang et al., arXiv 1801.09414. The margin separates genuine similarities from those of the
    most similar impostor, so that a threshold can refuse strangers.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses [B] for labels int [B] and similarities float32 [B, N]."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        own: Any = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        logits = self.scale * (y_pred - self.margin * own)
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


class _PartnerLoss(_Margin):
    """The loss of finding a palm's other image among all other images of the batch."""

    def _cross_entropy(self, y_true: Any, similarities: Any) -> Any:
        """Returns the losses [B] for labels [B], each present twice, and similarities [B, B]."""
        labels: Any = ops.reshape(y_true, (-1,))
        shape: Any = ops.shape(labels)
        itself: Any = ops.eye(shape[0], dtype=similarities.dtype)
        own = ops.cast(labels[:, None] == labels[None], similarities.dtype) - itself
        logits = self.scale * (similarities - self.margin * own)
        logits = logits - 1e4 * itself  # an image is not compared with itself
        log_total: Any = ops.logsumexp(logits, axis=1)
        return log_total - ops.sum(own * logits, axis=1)


class PairLoss(_PartnerLoss):
    """CosFace with the other images of the batch in place of the prototypes.

    Every palm has two images in a batch. The loss of an image is the cross-entropy of finding the
    palm's other image among all other images, with logits scale * (similarity - margin at that
    image). Without the margin it is the N-pair loss: K. Sohn, NIPS 2016. The margin is that of
    Wang et al., arXiv 1801.09414. A net starts to learn equally fast from any number of palms.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses [B] for labels int [B], each present twice, and embeddings [B, D]."""
        return self._cross_entropy(y_true, ops.matmul(y_pred, ops.transpose(y_pred)))


class ShiftLoss(_PartnerLoss):
    """`PairLoss` for vein maps: the similarity is that of the best shift.

    The shift makes up for different poses: Z. Zhao and A. Kumar, "Towards more accurate iris
    recognition using deeply learned spatially corresponding features", ICCV 2017.
    """

    def __init__(
        self, scale: float = 24.0, margin: float = 0.2, shift: int = LOSS_SHIFT, **options: Any
    ) -> None:
        """Creates the loss.

        Args:
            scale: factor from similarity to logit, above 0.
            margin: similarity by which the palm's other image must win, from 0 to 1.
            shift: largest shift in places, at least 0.
            options: arguments of `keras.losses.Loss`.
        """
        super().__init__(scale, margin, **options)
        self.shift = shift

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses [B] for labels int [B], each present twice, and maps [B, S, S, C]."""
        return self._cross_entropy(y_true, shifted_similarities(y_pred, self.shift))


def shifted_similarities(maps: Any, shift: int) -> Any:
    """Compares the central window of every map with the windows of every map at all shifts.

    Args:
        maps: float32 [B, S, S, C].
        shift: largest shift r in places. A map with fewer than 2r + 1 places on a side is shifted
            less, so that a window is left.

    Returns:
        float32 [B, B] in [-1, 1]: the largest cosine between the row's central window of S - 2r
        places and the column's windows. It is not symmetric.
    """
    shift = min(shift, (maps.shape[1] - 1) // 2)
    # On two cores TensorFlow convolves in half the time of the products, and JAX takes ten times
    # as long.
    tensorflow = keras.backend.backend() == "tensorflow"
    compare = best_by_convolution if tensorflow else best_by_products
    return compare(maps, shift)


def best_by_convolution(maps: Any, shift: int) -> Any:
    """Computes `shifted_similarities` with the central windows as kernels of a convolution."""
    window = maps.shape[1] - 2 * shift
    central: Any = maps[:, shift : shift + window, shift : shift + window]
    squares: Any = ops.sum(ops.square(central), axis=(1, 2, 3), keepdims=True)
    # The maximum is inside the root, whose gradient at 0 is infinite.
    kernels = ops.transpose(central * ops.rsqrt(ops.maximum(squares, 1e-12)), (1, 2, 3, 0))
    products: Any = ops.conv(maps, kernels, padding="valid")
    lengths: Any = ops.sum(ops.square(maps), axis=-1, keepdims=True)
    means: Any = ops.average_pool(lengths, window, strides=1, padding="valid")
    norms: Any = ops.sqrt(ops.maximum(means * window**2, 1e-12))
    return ops.transpose(ops.max(products / norms, axis=(1, 2)))


def best_by_products(maps: Any, shift: int) -> Any:
    """Computes `shifted_similarities` with a matrix product for each shift."""
    side, channels = maps.shape[1], maps.shape[3]
    window = side - 2 * shift
    size = window * window * channels

    def rows_at(row: int, column: int) -> Any:
        part = maps[:, row : row + window, column : column + window]
        return ops.normalize(ops.reshape(part, (-1, size)), axis=-1)

    probes = rows_at(shift, shift)
    best: Any = None
    for row, column in product(range(2 * shift + 1), repeat=2):  # all at once would need gigabytes
        found: Any = ops.matmul(probes, ops.transpose(rows_at(row, column)))
        best = found if best is None else ops.maximum(best, found)
    return best
