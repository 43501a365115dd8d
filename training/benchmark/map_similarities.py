"""Compares the vein maps of one net: with the mean map, without it, and of strangers outside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.matching.fusion import Fusion
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.similarity import SHIFT
from training.benchmark.comparisons import Float32, Rows, Trials
from training.versions.compare import best_of_subject, compare_maps

ENROLLED = (0, 20, 100, 500)
"""Numbers of identities in the mean map for which strangers outside it are compared."""

MIN_STRANGERS = 20
"""Least number of identities outside the mean map."""

MAX_STRANGERS = 500
"""Largest number of identities outside the mean map: 500 give 250,000 pairs of palms."""

IMAGE_PAIRS = 1 << 26
"""Similarities of images in one block: 256 MiB."""


@dataclass(frozen=True, slots=True)
class MeanSplit:
    """Identities whose mean map is subtracted, and strangers who are not among them.

    Attributes:
        enrolled: int64 [n], the identities in the mean map.
        strangers: int64 [R] in rising order, identities that are compared with each other.
    """

    enrolled: NDArray[np.int64]
    strangers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MapSimilarities:
    """The similarities of one net's maps, or of several nets' maps after fusion.

    Attributes:
        without_mean: float32 [P, I].
        with_mean: float32 [P, I]; None for fewer than `MIN_SUBJECTS` identities, for which the
            service subtracts no mean map.
        outside: for each `MeanSplit` float32 [p, R], the strangers' probes to the strangers.
    """

    without_mean: Float32
    with_mean: Float32 | None
    outside: tuple[Float32, ...]

    @property
    def as_service(self) -> Float32:
        """The similarities as the service computes them, float32 [P, I]."""
        return self.without_mean if self.with_mean is None else self.with_mean


def split_identities(identities: int, seed: int) -> tuple[MeanSplit, ...]:
    """Returns the splits for each number in `ENROLLED` that leaves `MIN_STRANGERS` identities.

    Fewer identities in the mean map are a part of more, and so are their strangers, as far as
    `MAX_STRANGERS` permits.

    Args:
        identities: I, the number of identities.
        seed: seed of the random order of the identities.
    """
    order = np.random.default_rng(seed).permutation(identities)
    return tuple(
        MeanSplit(order[:count], np.sort(order[max(count, identities - MAX_STRANGERS) :]))
        for count in ENROLLED
        if identities - count >= MIN_STRANGERS
    )


def compare_net_maps(
    maps: VeinMaps, trials: Trials, splits: Sequence[MeanSplit], name: str, *, shift: int = SHIFT
) -> MapSimilarities:
    """Compares all probes with all identities; the best template of an identity counts.

    Args:
        maps: the maps of all images of the database.
        trials: the templates and the probes among them.
        splits: from `split_identities`.
        name: name of the net, for the progress bars.
        shift: largest shift in places.

    Raises:
        ValueError: if the shift is below 0, or leaves no window of the map.
    """
    side = maps.shape.side
    if not 0 <= 2 * shift < side:
        raise ValueError(
            f"--shift {shift} does not fit the map of {name}, {side} x {side} places: choose 0 to "
            f"{(side - 1) // 2}"
        )
    templates, probes = maps[trials.templates], maps[trials.probes]

    def compare(mean: Floats | None, case: str) -> Float32:
        return _best_similarities(probes, templates, trials, mean, f"{name} {case}", shift)

    without = compare(None, "without mean map")
    mean = _mean_map(templates, trials.enrolled, np.arange(len(trials.owners)))
    outside = []
    for split in splits:
        rows, columns, among = trials.among(split.strangers)
        found = without[np.ix_(rows, split.strangers)]
        if (own := _mean_map(templates, trials.enrolled, split.enrolled)) is not None:
            label = f"{name} outside a mean of {len(split.enrolled)}"
            found = _best_similarities(probes[rows], templates[columns], among, own, label, shift)
        outside.append(found)
    centred = None if mean is None else compare(mean, "with mean map")
    return MapSimilarities(without, centred, tuple(outside))


def fuse_maps(fusion: Fusion, nets: Sequence[MapSimilarities]) -> MapSimilarities:
    """Returns the weighted sums of the nets' similarities; all nets had the same trials."""
    centred = [one.with_mean for one in nets if one.with_mean is not None]
    outside = zip(*(one.outside for one in nets), strict=True)
    return MapSimilarities(
        _combine(fusion, [one.without_mean for one in nets]),
        _combine(fusion, centred) if centred else None,
        tuple(_combine(fusion, found) for found in outside),
    )


def compare_embeddings(embeddings: Float32, trials: Trials) -> Float32:
    """Returns the cosine of every probe with each identity's best template, float32 [P, I].

    Args:
        embeddings: float32 [N, D] of all images, of unit length.
        trials: the templates and the probes among them.
    """
    templates, probes = embeddings[trials.templates], embeddings[trials.probes]
    step = max(IMAGE_PAIRS // len(templates), 1)
    parts = [
        best_of_subject(block @ templates.T, trials.enrolled, len(trials.owners))
        for block in (probes[start : start + step] for start in range(0, len(probes), step))
    ]
    return np.concatenate(parts)


def _best_similarities(
    probes: VeinMaps,
    templates: VeinMaps,
    trials: Trials,
    mean: Floats | None,
    name: str,
    shift: int,
) -> Float32:
    """Returns each probe's similarity to each identity's best template, block by block."""
    step = max(IMAGE_PAIRS // len(templates), 1)
    found = np.empty((len(probes), len(trials.owners)), np.float32)
    for start in range(0, len(probes), step):
        rows = slice(start, start + step)
        images = compare_maps(probes[rows], templates, mean, name, shift=shift)
        found[rows] = best_of_subject(images, trials.enrolled, len(trials.owners))
    return found


def _mean_map(templates: VeinMaps, enrolled: NDArray[np.int32], identities: Rows) -> Floats | None:
    """Returns the mean map of some identities; None for fewer than `MIN_SUBJECTS`."""
    if len(identities) < MIN_SUBJECTS:
        return None
    total = MapSum.empty(templates.shape)
    for identity in identities:
        total += MapSum.of(templates[enrolled == identity])
    return total.mean()


def _combine(fusion: Fusion, similarities: Sequence[Float32]) -> Float32:
    """Combines the nets' similarities in blocks, because float64 sums of all may not fit memory."""
    fused = np.empty_like(similarities[0])
    step = max(IMAGE_PAIRS // (8 * max(fused.shape[1], 1)), 1)
    for start in range(0, len(fused), step):
        rows = slice(start, start + step)
        fused[rows] = fusion.combine([one[rows] for one in similarities])
    return fused
