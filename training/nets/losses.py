"""Losses that require a margin between the true identity and the most similar other one."""

from typing import Any

import keras
from keras import ops


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


class PairLoss(_Margin):
    """CosFace with the other images of the batch in place of the prototypes.

    Every palm has two images in a batch. The loss of an image is the cross-entropy of finding the
    palm's other image among all other images, with logits scale * (similarity - margin at that
    image). Without the margin it is the N-pair loss: K. Sohn, NIPS 2016. The margin is that of
    Wang et al., arXiv 1801.09414. A net starts to learn equally fast from any number of palms.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses [B] for labels int [B], each present twice, and embeddings [B, D]."""
        labels: Any = ops.reshape(y_true, (-1,))
        shape: Any = ops.shape(labels)
        itself: Any = ops.eye(shape[0], dtype=y_pred.dtype)
        own = ops.cast(labels[:, None] == labels[None], y_pred.dtype) - itself
        similarities: Any = ops.matmul(y_pred, ops.transpose(y_pred))
        logits = self.scale * (similarities - self.margin * own)
        logits = logits - 1e4 * itself  # an image is not compared with itself
        log_total: Any = ops.logsumexp(logits, axis=1)
        return log_total - ops.sum(own * logits, axis=1)
