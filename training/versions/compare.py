"""Compares many vein maps with many: the similarities from which rates are counted."""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import Floats, Signs, VeinMaps
from app.matching.similarity import MIN_OVERLAP, NO_SCORE, SHIFT
from app.matching.templates import TrainedTemplates

PROBES_AT_ONCE, TEMPLATES_AT_ONCE = 32, 1024
"""Maps in one matrix product: 30 MB of probes' windows and 38 MB of templates'."""


class _Windows(NamedTuple):
    """Windows of maps: int8 signs [T, K], -1, 0 or 1, and int8 usable places [T, V], 0 or 1."""

    signs: NDArray[np.int8]
    places: NDArray[np.int8]


def compare_maps(
    probes: VeinMaps, templates: VeinMaps, mean: Floats | None, name: str, *, shift: int = SHIFT
) -> Floats:
    """Returns the similarity of every probe image to every template image, as the service.

    The service counts differing bits, the fastest for one probe. Here a matrix product of the signs
    -1 and 1, with 0 at unusable places, counts agreements minus differences of many probes at
    once. All its sums are whole numbers that float32 holds exactly.

    Args:
        probes: P maps.
        templates: T maps of the same net.
        mean: float32 [S, S, C], the mean map to subtract from both; None for none.
        name: name of the net, for the progress bar, which is shown after a second.
        shift: largest shift in places; others than `SHIFT` only for measurements.

    Returns:
        float32 [P, T].
    """
    found = np.empty((len(probes), len(templates)), np.float32)
    starts = range(0, len(templates), TEMPLATES_AT_ONCE)
    blocks = [
        _central(Signs.of(templates[start : start + TEMPLATES_AT_ONCE], mean), shift)
        for start in starts
    ]
    with tqdm(total=len(probes), desc=f"{name}: comparing", unit="probe", delay=1) as bar:
        for first in range(0, len(probes), PROBES_AT_ONCE):
            part = probes[first : first + PROBES_AT_ONCE]
            shifted = _shifted(Signs.of(part, mean), shift)
            for start, block in zip(starts, blocks, strict=True):
                columns = slice(start, start + len(block.signs))
                found[first : first + len(part), columns] = _best_shift(shifted, block, len(part))
            bar.update(len(part))
    return found


def _best_shift(shifted: _Windows, block: _Windows, probes: int) -> Floats:
    """Returns the similarities [P, T] at the best shift."""
    import tensorflow as tf  # twice as fast as NumPy on a CPU, and much faster on a GPU

    def product_of(rows: NDArray[np.int8], others: NDArray[np.int8]) -> tf.Tensor:
        return tf.matmul(tf.cast(rows, tf.float32), tf.cast(others, tf.float32), transpose_b=True)

    places = block.places.shape[1]
    channels = block.signs.shape[1] // places
    overlap = product_of(shifted.places, block.places)
    agreement = product_of(shifted.signs, block.signs) / tf.maximum(overlap * channels, 1)
    scores = tf.where(overlap < MIN_OVERLAP * places, NO_SCORE, agreement)
    by_shift = tf.reshape(scores, (probes, -1, len(block.signs)))
    return np.asarray(tf.reduce_max(by_shift, axis=1))


def _central(signs: Signs, shift: int) -> _Windows:
    """Returns the central window of each of T maps."""
    side = signs.usable.shape[1]
    centre = slice(shift, side - shift)
    return _flat(signs.positive[:, centre, centre], signs.usable[:, centre, centre])


def _shifted(signs: Signs, shift: int) -> _Windows:
    """Returns the windows of P maps at each of Q shifts, [P * Q, ...]."""
    side = signs.usable.shape[1] - 2 * shift
    cuts = [
        np.s_[:, r : r + side, c : c + side] for r, c in product(range(2 * shift + 1), repeat=2)
    ]
    positive = np.stack([signs.positive[cut] for cut in cuts], axis=1)
    usable = np.stack([signs.usable[cut] for cut in cuts], axis=1)
    return _flat(positive.reshape(-1, *positive.shape[2:]), usable.reshape(-1, side, side))


def _flat(positive: NDArray[np.bool_], usable: NDArray[np.bool_]) -> _Windows:
    signs = np.where(usable[..., None], 2 * positive.astype(np.int8) - 1, 0).astype(np.int8)
    return _Windows(signs.reshape(len(signs), -1), usable.reshape(len(usable), -1).astype(np.int8))


def best_of_subject(similarities: Floats, owners: NDArray[np.integer], subjects: int) -> Floats:
    """Returns the similarity of every probe image to every subject: that of its best template.

    Args:
        similarities: float32 [P, T].
        owners: integers [T], each template's subject.
        subjects: number of subjects N; each has a template.

    Returns:
        float32 [P, N].
    """
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(subjects))
    return np.maximum.reduceat(similarities[:, order], starts, axis=1)


def compare_trained(probes: VeinMaps, trained: TrainedTemplates, name: str) -> Floats:
    """Returns the similarity of every probe image to every trained identity, float32 [P, N].

    No mean map is subtracted: trained identities are no site's subjects and form none.
    """
    found = compare_maps(probes, trained.maps, None, name)
    return best_of_subject(found, trained.owners, len(trained.counts))
