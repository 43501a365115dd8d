"""Measures rank-1 and equal error rate of identities that a net was not trained on."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms
from training.fit.batches import in_batches
from training.fit.devices import compiled
from training.metrics.map_similarity import map_similarities
from training.metrics.protocol import is_template, require_pairs
from training.metrics.rates import equal_error_rate

PAIRS_AT_ONCE = 1 << 22
"""Similarities in one block: 16 MiB."""

Float32 = NDArray[np.float32]
Similarity = Callable[[Float32, Float32], Float32]
"""A function from features [P, ...] and [T, ...] to similarities [P, T]."""


def compiled_embedder(scores: keras.Model) -> Callable[[Any], Any]:
    """Returns a net's function from uint8 [B, S, S, 3] to embeddings [B, D] of unit length."""
    return compiled(keras.Model(scores.input, scores.get_layer("embedding").output))


def compiled_mapper(net: keras.Model) -> Callable[[Any], Any]:
    """Returns a net's function from uint8 [B, S, S, 3] to vein maps float32 [B, S', S', C]."""
    return compiled(keras.Model(net.input, net.get_layer("map").output))


def measure_open_set(
    embed: Callable[[Any], Any], palms: Palms, batch_size: int = 64
) -> dict[str, float]:
    """Embeds palms and returns their open-set rates; see `open_set_rates`.

    Args:
        embed: the net's function, from `compiled_embedder`.
        palms: the images to compare.
        batch_size: images embedded at a time.
    """
    return open_set_rates(_run(embed, palms, batch_size), palms)


def measure_maps(run: Callable[[Any], Any], palms: Palms, batch_size: int = 64) -> dict[str, float]:
    """Maps palms and returns the open-set rates of their maps.

    Args:
        run: the net's function, from `compiled_mapper`.
        palms: the images to compare.
        batch_size: images mapped at a time.

    Returns:
        `map_rank_1` and `map_eer`; see `open_set_rates`.
    """
    rates = open_set_rates(_run(run, palms, batch_size), palms, similarity=map_similarities)
    return {f"map_{name}": rate for name, rate in rates.items()}


def _run(run: Callable[[Any], Any], palms: Palms, batch_size: int) -> Float32:
    require_pairs(palms)
    parts = [np.asarray(run(x), np.float32) for x in in_batches(palms, batch_size)]
    return np.concatenate(parts)


def cosine_similarities(probes: Float32, templates: Float32) -> Float32:
    """Returns the similarities [P, T] of rows [P, D] and [T, D] of unit length."""
    return probes @ templates.T


def open_set_rates(
    features: Float32,
    palms: Palms,
    *,
    similarity: Similarity = cosine_similarities,
    pairs_at_once: int = PAIRS_AT_ONCE,
) -> dict[str, float]:
    """Returns the rates when every probe is compared with every template image.

    `is_template` defines which images are templates. An identity that has only templates takes
    part as an impostor.

    Args:
        features: float32 [N, ...], one for each image; by default embeddings [N, D], rows of unit
            length.
        palms: the N images.
        similarity: compares probes with templates.
        pairs_at_once: number of similarities in one block; it changes only the memory needed.

    Returns:
        `rank_1`: the share of probes whose most similar template is of their own identity; `eer`:
        see `equal_error_rate`.

    Raises:
        ValueError: see `require_pairs`.
    """
    require_pairs(palms)
    compare = partial(_compare, features, palms, similarity, pairs_at_once)
    # One block fits into memory, and comparing maps twice would take seconds.
    kept = list(compare()) if (len(palms) // 2) ** 2 <= pairs_at_once else None
    hits, genuine = [], []
    for similarities, same in kept or compare():
        hits.append(same[np.arange(len(same)), similarities.argmax(axis=1)])
        genuine.append(similarities[same])
    impostors = (similarities[~same] for similarities, same in kept or compare())
    return {
        "rank_1": float(np.concatenate(hits).mean()),
        "eer": equal_error_rate(np.concatenate(genuine), impostors),
    }


def _compare(
    features: Float32, palms: Palms, similarity: Similarity, pairs_at_once: int
) -> Iterator[tuple[Float32, NDArray[np.bool_]]]:
    """Yields similarities [P, T] of some probes to all templates, and which pairs are genuine.

    Blocks save memory: the similarities of 20,000 images take 400 MB, and more to sort.
    """
    gallery = is_template(palms)
    probes, templates = np.flatnonzero(~gallery), features[gallery]
    step = max(pairs_at_once // len(templates), 1)
    for start in range(0, len(probes), step):
        chosen = probes[start : start + step]
        same = palms.labels[chosen][:, None] == palms.labels[gallery][None]
        yield similarity(features[chosen], templates), same
