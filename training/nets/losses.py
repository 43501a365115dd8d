"""Losses that set a margin between a palm and the nearest other one."""

from typing import Any

import keras
from keras import ops


class MarginLoss(keras.losses.Loss):
    """CosFace: cross-entropy of scale * (similarity - margin at the true identity).

    Wang et al., arXiv 1801.09414. The margin asks genuine similarities to stand clear of the
    nearest impostor's, which is what lets the net tell strangers from the people it knows.
    """

    def __init__(self, scale: float = 24.0, margin: float = 0.25, **options: Any) -> None:
        """Creates the loss.

        Args:
            scale: factor from similarity to logit.
            margin: what the true identity's similarity must win by.
            options: as of `keras.losses.Loss`.
        """
        super().__init__(name="margin_loss", **options)
        self.scale = scale
        self.margin = margin

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss [B] of labels int [B] and similarities float32 [B, C]."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        own = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        logits = self.scale * (y_pred - self.margin * own)
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


class PairLoss(keras.losses.Loss):
    """CosFace with the batch's other images in the place of prototypes.

    Every image has to find the other one of its own palm among all others of the batch:
    cross-entropy of scale * (similarity - margin at the true one). So each step teaches what tells
    palms apart, however many there are and though none comes often. Without the margin it is the
    loss of N pairs: K. Sohn, NIPS 2016; margin: Wang et al., arXiv 1801.09414.
    """

    def __init__(self, scale: float = 24.0, margin: float = 0.1, **options: Any) -> None:
        """Creates the loss.

        Args:
            scale: factor from similarity to logit.
            margin: what the true one's similarity must win by.
            options: as of `keras.losses.Loss`.
        """
        super().__init__(name="pair_loss", **options)
        self.scale = scale
        self.margin = margin

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss [B] of labels int [B], each of which comes twice, and embeddings float32 [B, D]."""
        labels = ops.reshape(y_true, (-1,))
        itself = ops.eye(ops.shape(labels)[0], dtype=y_pred.dtype)
        own = ops.cast(labels[:, None] == labels[None], y_pred.dtype) - itself
        logits = self.scale * (ops.matmul(y_pred, ops.transpose(y_pred)) - self.margin * own)
        logits = logits - 1e4 * itself  # nobody is to find itself
        return ops.logsumexp(logits, axis=1) - ops.sum(own * logits, axis=1)
