"""Measures rank-1 and equal error rate of identities that a net was not trained on."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms
from training.fit.batches import in_batches
from training.fit.devices import compiled
from training.metrics.protocol import is_template, require_pairs
from training.metrics.rates import equal_error_rate

PAIRS_AT_ONCE = 1 << 22
"""Similarities in one block: 16 MiB."""

Float32 = NDArray[np.float32]


def compiled_embedder(scores: keras.Model) -> Callable[[Any], Any]:
    """Returns a net's function from uint8 [B, S, S, 3] to embeddings [B, D] of unit length."""
    return compiled(keras.Model(scores.input, scores.get_layer("embedding").output))


def measure_open_set(
    embed: Callable[[Any], Any], palms: Palms, batch_size: int = 64
) -> dict[str, float]:
    """Embeds palms and returns their open-set rates; see `open_set_rates`.

    Args:
        embed: the net's function, from `compiled_embedder`.
        palms: the images to compare.
        batch_size: images embedded at a time.
    """
    require_pairs(palms)
    parts = [np.asarray(embed(x), np.float32) for x in in_batches(palms, batch_size)]
    return open_set_rates(np.concatenate(parts), palms)


def open_set_rates(
    embeddings: Float32, palms: Palms, *, pairs_at_once: int = PAIRS_AT_ONCE
) -> dict[str, float]:
    """Returns the rates when every probe is compared with every template image.

    `is_template` defines which images are templates. An identity that has only templates takes
    part as an impostor.

    Args:
        embeddings: float32 [N, D], rows of unit length.
        palms: the N images.
        pairs_at_once: number of similarities in one block; it changes only the memory needed.

    Returns:
        `rank_1`: the share of probes whose most similar template is of their own identity; `eer`:
        see `equal_error_rate`.

    Raises:
        ValueError: see `require_pairs`.
    """
    require_pairs(palms)
    hits, genuine = [], []
    for similarity, same in _compare(embeddings, palms, pairs_at_once):
        hits.append(same[np.arange(len(same)), similarity.argmax(axis=1)])
        genuine.append(similarity[same])
    blocks = _compare(embeddings, palms, pairs_at_once)
    impostors = (similarity[~same] for similarity, same in blocks)
    return {
        "rank_1": float(np.concatenate(hits).mean()),
        "eer": equal_error_rate(np.concatenate(genuine), impostors),
    }


def _compare(
    embeddings: Float32, palms: Palms, pairs_at_once: int
) -> Iterator[tuple[Float32, NDArray[np.bool_]]]:
    """Yields similarities [P, T] of some probes to all templates, and which pairs are genuine.

    Blocks save memory: the similarities of 20,000 images take 400 MB, and more to sort.
    """
    gallery = is_template(palms)
    probes, templates = np.flatnonzero(~gallery), embeddings[gallery]
    step = max(pairs_at_once // len(templates), 1)
    for start in range(0, len(probes), step):
        chosen = probes[start : start + step]
        same = palms.labels[chosen][:, None] == palms.labels[gallery][None]
        yield embeddings[chosen] @ templates.T, same
