"""How well embeddings tell palms apart that the net was never trained on."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.data import Palms, in_batches
from training.rates import equal_error_rate


class OpenSetScore(keras.callbacks.Callback):
    """Adds `val_rank_1` and `val_eer` to an epoch's figures, where parts share no identity."""

    def __init__(self, palms: Palms, batch_size: int = 64) -> None:
        """Creates the callback; `palms` are the validation part."""
        super().__init__()
        self._palms = palms
        self._batch_size = batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Embeds all pictures and compares them."""
        found = judge_strangers(self.model, self._palms, self._batch_size)
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in found.items()})


def judge_strangers(scores: keras.Model, palms: Palms, batch_size: int = 64) -> dict[str, float]:
    """Rank-1 and EER of palms that a net was not trained on.

    Args:
        scores: a net with an embedding head.
        palms: at least two pictures of every identity.
        batch_size: pictures at a time.

    Returns:
        `rank_1`: share of probes whose most similar template is of their own identity; `eer`: the
        rate at which false matches and false non-matches are equally frequent. Templates are the
        pictures of the first session or, with no second one, each identity's first half.
    """
    embed = keras.Model(scores.input, scores.get_layer("embedding").output)
    parts = [
        keras.ops.convert_to_numpy(embed(x, training=False)) for x in in_batches(palms, batch_size)
    ]
    embeddings = np.concatenate(parts)
    gallery = _gallery(palms)
    similarity = embeddings[~gallery] @ embeddings[gallery].T
    genuine = palms.labels[~gallery][:, None] == palms.labels[gallery][None]
    hits = genuine[np.arange(len(genuine)), similarity.argmax(axis=1)]
    return {
        "rank_1": float(hits.mean()),
        "eer": equal_error_rate(similarity[genuine], similarity[~genuine]),
    }


def _gallery(palms: Palms) -> NDArray[np.bool_]:
    """Which pictures are templates, [N]."""
    first = palms.sessions.min()
    if (palms.sessions > first).any():
        return palms.sessions == first
    chosen = np.zeros(len(palms), bool)
    for label in np.unique(palms.labels):
        own = np.flatnonzero(palms.labels == label)
        chosen[own[: max(len(own) // 2, 1)]] = True
    return chosen
