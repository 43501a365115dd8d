"""Compares the vein maps of one net: with the mean map, without it, and of strangers outside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from app.matching.cohort import compare_cohort
from app.matching.fusion import Fusion
from app.matching.impostors import MAX_COHORT, Impostors
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MapSum
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
class Compared:
    """The similarities of one matcher, with or without a mean map.

    Attributes:
        similarities: float32 [p, R], probes to identities.
        cohort: float32 [M, M], between the first subjects of the mean map; see
            `app.matching.impostors.Impostors.of`. None if no mean map was subtracted.
    """

    similarities: Float32
    cohort: Float32 | None

    @property
    def impostors(self) -> Impostors | None:
        """The impostors of the mean map's subjects; None if no mean map was subtracted."""
        return None if self.cohort is None else Impostors.of(self.cohort)


@dataclass(frozen=True, slots=True)
class MapSimilarities:
    """The similarities of one net's maps, or of several nets' maps after fusion.

    Attributes:
        without_mean: float32 [P, I].
        as_service: the same as the service computes them: with the mean map of all identities, or
            without for fewer than `MIN_SUBJECTS` identities.
        outside: for each `MeanSplit` the strangers' probes to the strangers.
    """

    without_mean: Float32
    as_service: Compared
    outside: tuple[Compared, ...]


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
    """
    templates, probes = maps[trials.templates], maps[trials.probes]

    def compare(enrolled: Rows, among: Rows, label: str) -> Compared:
        """Compares identities among each other, with the mean map of the enrolled ones."""
        rows, columns, own = trials.among(among)
        subjects = [templates[trials.enrolled == identity] for identity in enrolled]
        total = reduce(add, map(MapSum.of, subjects), MapSum.empty(templates.shape))
        if (mean := total.mean()) is None:
            return Compared(without[np.ix_(rows, among)], None)
        found = _best_similarities(probes[rows], templates[columns], own, mean, label, shift)
        return Compared(found, compare_cohort(subjects[:MAX_COHORT], total, shift))

    label = f"{name} without mean map"
    without = _best_similarities(probes, templates, trials, None, label, shift)
    outside = [
        compare(one.enrolled, one.strangers, f"{name} outside a mean of {len(one.enrolled)}")
        for one in splits
    ]
    everybody = np.arange(len(trials.owners))
    as_service = compare(everybody, everybody, f"{name} with mean map")
    return MapSimilarities(without, as_service, tuple(outside))


def fuse_maps(fusion: Fusion, nets: Sequence[MapSimilarities]) -> MapSimilarities:
    """Returns the weighted sums of the nets' similarities; all nets had the same trials."""
    outside = zip(*(one.outside for one in nets), strict=True)
    return MapSimilarities(
        _combine(fusion, [one.without_mean for one in nets]),
        _fuse(fusion, [one.as_service for one in nets]),
        tuple(_fuse(fusion, found) for found in outside),
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


def _fuse(fusion: Fusion, nets: Sequence[Compared]) -> Compared:
    cohorts = [one.cohort for one in nets if one.cohort is not None]
    return Compared(
        _combine(fusion, [one.similarities for one in nets]),
        _combine(fusion, cohorts) if cohorts else None,
    )


def _combine(fusion: Fusion, similarities: Sequence[Float32]) -> Float32:
    """Combines the nets' similarities in blocks, because float64 sums of all may not fit memory."""
    fused = np.empty_like(similarities[0])
    step = max(IMAGE_PAIRS // (8 * max(fused.shape[1], 1)), 1)
    for start in range(0, len(fused), step):
        rows = slice(start, start + step)
        fused[rows] = fusion.combine([one[rows] for one in similarities])
    return fused
