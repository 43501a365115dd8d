"""How well embeddings tell palms apart that the net was never trained on."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms
from training.fit.batches import in_batches
from training.fit.devices import compiled
from training.metrics.rates import equal_error_rate

PAIRS_AT_ONCE = 1 << 22
"""Similarities in a block: 16 MiB."""

Float32 = NDArray[np.float32]


class OpenSetScore(keras.callbacks.Callback):
    """Adds `val_rank_1` and `val_eer` to an epoch's figures, where parts share no identity."""

    def __init__(
        self,
        palms: Palms,
        batch_size: int = 64,
        *,
        prefix: str = "val",
        net: keras.Model | None = None,
    ) -> None:
        """Creates the callback.

        Args:
            palms: the validation part.
            batch_size: images at a time.
            prefix: what names the figures.
            net: which to judge, with an embedding head; what is trained unless given.
        """
        super().__init__()
        self._prefix = prefix
        self._palms = palms
        self._batch_size = batch_size
        self._net = net
        self._embed: Callable[[Any], Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Embeds all images and compares them."""
        if self._embed is None:
            self._embed = compiled_embedder(self._net or self.model)
        found = measure_open_set(self._embed, self._palms, self._batch_size)
        if logs is not None:
            logs.update({f"{self._prefix}_{name}": value for name, value in found.items()})


def compiled_embedder(scores: keras.Model) -> Callable[[Any], Any]:
    """What embeds images uint8 [B, S, S, 3] as a net with an embedding head does, [B, D]."""
    return compiled(keras.Model(scores.input, scores.get_layer("embedding").output))


def measure_open_set(
    embed: Callable[[Any], Any], palms: Palms, batch_size: int = 64
) -> dict[str, float]:
    """Rank-1 and EER of palms that a net was not trained on.

    Args:
        embed: the net, as `compiled_embedder` has it.
        palms: whom to compare; who has a template only is somebody to be mistaken for.
        batch_size: images at a time.

    Returns:
        `rank_1`: share of probes whose most similar template is of their own identity; `eer`: as
        `equal_error_rate` defines it. Templates are the images of each identity's first session
        or, where nobody has a second one, the first half of its shots.

    Raises:
        ValueError: as `require_pairs` does.
    """
    require_pairs(palms)
    parts = [keras.ops.convert_to_numpy(embed(x)) for x in in_batches(palms, batch_size)]
    embeddings = np.concatenate(parts).astype(np.float32)
    hits, genuine = [], []
    for similarity, same in _compare(embeddings, palms):
        hits.append(same[np.arange(len(same)), similarity.argmax(axis=1)])
        genuine.append(similarity[same])
    impostors = (similarity[~same] for similarity, same in _compare(embeddings, palms))
    return {
        "rank_1": float(np.concatenate(hits).mean()),
        "eer": equal_error_rate(np.concatenate(genuine), impostors),
    }


def require_pairs(
    palms: Palms, advice: str = " in a split by identity: add images, or choose another --split"
) -> None:
    """Whether there is somebody to recognize and somebody to mistake; costs nothing.

    Args:
        palms: whom to compare.
        advice: the error's end, which says what to do.

    Raises:
        ValueError: if there is one identity only, or no identity with a template and a probe.
    """
    count = len(np.unique(palms.labels))
    if count > 1 and not is_template(palms).all():
        return
    lack = f"none of {count} identities has a second image" if count > 1 else "one identity only"
    raise ValueError(f"{lack}, such as {palms.files[0]}, so there is nothing to compare{advice}")


def mean_templates(embeddings: Float32, labels: NDArray[np.int32], identities: int) -> Float32:
    """An identity's template as the service has it: the mean of its embeddings, at unit length.

    Args:
        embeddings: float32 [T, ..., D], rows of unit length.
        labels: int32 [T], whose, from 0 to I - 1.
        identities: I.

    Returns:
        float32 [I, ..., D]; zeros for who has no embedding.
    """
    sums = np.zeros((identities, *embeddings.shape[1:]), np.float32)
    np.add.at(sums, labels, embeddings)
    return sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12)


def is_template(palms: Palms) -> NDArray[np.bool_]:
    """Which images are templates, bool [N]; every other has a template of its own identity.

    Those of each identity's first session or, where nobody has a second one, the first half of its
    shots.
    """
    first = np.full(len(palms.identities), palms.sessions.max())
    np.minimum.at(first, palms.labels, palms.sessions)
    chosen = palms.sessions == first[palms.labels]
    if not chosen.all():
        return chosen
    for label in np.unique(palms.labels):
        own = palms.labels == label
        # By shot: one moment in two bands, or in both hands, must not be parted.
        shots = np.unique(palms.shots[own])
        chosen[own] = np.isin(palms.shots[own], shots[: max(len(shots) // 2, 1)])
    return chosen


def _compare(embeddings: Float32, palms: Palms) -> Iterator[tuple[Float32, NDArray[np.bool_]]]:
    """Similarities [P, T] of some probes to all templates, and which are of one identity.

    All at once would be 400 MB at 20,000 images, and several times that while they are sorted.
    """
    gallery = is_template(palms)
    probes, templates = np.flatnonzero(~gallery), embeddings[gallery]
    step = max(PAIRS_AT_ONCE // len(templates), 1)
    for start in range(0, len(probes), step):
        chosen = probes[start : start + step]
        same = palms.labels[chosen][:, None] == palms.labels[gallery][None]
        yield embeddings[chosen] @ templates.T, same
