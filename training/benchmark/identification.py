"""Measures identification, which compares one probe with a gallery.

Rank-1 and CMC are closed-set rates: every probe's identity is enrolled. FNIR at an FPIR is an
open-set rate: some probes are of strangers.

ISO/IEC 19795-1; P. Grother and P. J. Phillips, "Models of large population recognition performance"
(CVPR 2004); the CMC from P. J. Phillips et al., "The FERET evaluation methodology for
face-recognition algorithms", IEEE TPAMI 22 (2000).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Rate, Weights
from training.benchmark.verification import MIN_ERRORS, Array, is_stated

FPIRS = (1e-2, 1e-3)
"""False-positive identification rates at which FNIR is usually stated."""

SIZES = (10, 100, 300, 1_000, 3_000, 10_000)
"""Gallery sizes that are measured if there are enough identities."""

STRANGERS_SHARE = 0.2
"""Least share of the identities that are not enrolled in a gallery."""

DRAWS = 5
"""Number of random galleries of each size; the rates are averaged over them."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The open-set rates at one gallery size.

    Attributes:
        size: N, the number of enrolled identities.
        strangers: number of identities that are not enrolled.
        stranger_probes: number of their probes, in the gallery with the fewest.
        fnir: FNIR by FPIR, with the smallest counts of any gallery; None if there are too few
            strangers' probes to state it.
    """

    size: int
    strangers: int
    stranger_probes: int
    fnir: dict[float, Rate | None]


@dataclass(frozen=True, slots=True)
class _Searches:
    """The searches of all probes in one gallery.

    Attributes:
        enrolled: bool [P], whether the probe's identity is in the gallery.
        own: [P], similarity to the probe's own identity.
        best_other: [P], highest similarity to any other identity in the gallery.
    """

    enrolled: NDArray[np.bool_]
    own: Array
    best_other: Array


def ranks(comparisons: Comparisons) -> Ints:
    """Returns the rank [P] of each probe's own identity, from 1; the last rank in a tie."""
    own = comparisons.genuine()
    parts = [
        (comparisons.similarities[rows] >= own[rows, None]).sum(axis=1)
        for rows in comparisons.blocks()
    ]
    return np.concatenate(parts)


def cmc(found: Ints, depth: int) -> Array:
    """Returns the cumulative match characteristic [depth]: the share of probes at rank <= k."""
    return (found[:, None] <= np.arange(1, depth + 1)).mean(axis=0)


def gallery_sizes(own: NDArray[np.int32], identities: int) -> list[int]:
    """Returns the gallery sizes to measure, in rising order.

    They are `SIZES`, the largest size for which each FPIR can be stated, and the largest possible
    size. Every size leaves at least `STRANGERS_SHARE` of the identities as strangers.

    Args:
        own: int32 [P], each probe's identity.
        identities: I, the number of identities.
    """
    largest = min(identities - max(round(STRANGERS_SHARE * identities), 1), SIZES[-1])
    # The strangers of a draw may be the identities with the fewest probes; these must be enough.
    probes = np.sort(np.bincount(own, minlength=identities)).cumsum()
    stated = [
        identities - 1 - int(np.searchsorted(probes, MIN_ERRORS / fpir - 1e-6)) for fpir in FPIRS
    ]
    return sorted({size for size in (*SIZES, *stated, largest) if 0 < size <= largest})


def open_set(
    comparisons: Comparisons, sizes: list[int], *, seed: int, weights: Weights
) -> list[OpenSet]:
    """Returns FNIR at `FPIRS` for every gallery size, averaged over `DRAWS` random galleries.

    Args:
        comparisons: the similarities of one matcher.
        sizes: gallery sizes from `gallery_sizes`.
        seed: seed of the galleries.
        weights: [1 + B, S], from `draw_subjects`.
    """
    identities = comparisons.similarities.shape[1]
    rng = np.random.default_rng(seed)
    draws = [
        [
            _measure_gallery(searches, comparisons.trials.subjects, weights)
            for searches in _search(comparisons, rng.permutation(identities), sizes)
        ]
        for _ in tqdm(range(DRAWS), "identification", delay=1)
    ]
    return [
        OpenSet(
            size,
            identities - size,
            min(one.stranger_probes for one in galleries),
            {fpir: _mean_fnir(galleries, fpir) for fpir in FPIRS},
        )
        for size, galleries in zip(sizes, zip(*draws, strict=True), strict=True)
    ]


def fnir_at_fpir(
    own: Array, best_other: Array, strangers: Array, fpir: float, weights: tuple[Weights, Weights]
) -> Array:
    """Returns the false-negative identification rate [B] at a false-positive identification rate.

    The threshold is the lowest one that at most a share `fpir` of the strangers' probes reaches. A
    probe of an enrolled identity fails if the similarity to its own template is below the
    threshold, or is not the highest.

    Args:
        own: [M], similarity of each enrolled identity's probe to its own template.
        best_other: [M], its highest similarity to any other template.
        strangers: [U], the highest similarity of each stranger's probe.
        fpir: the false-positive identification rate, 0 to 1.
        weights: how often each probe counts: [B, M] and [B, U].
    """
    falling = np.argsort(-strangers)
    passed = np.cumsum(weights[1][:, falling], axis=1)
    limit = fpir * passed[:, -1:] * (1 + 1e-9)  # 1 % of 300 is 3, despite rounding
    refused = strangers[falling][(passed > limit).argmax(axis=1)]
    counted = np.where(own > best_other, own, -np.inf)  # not the most similar: always fails
    rising = np.argsort(counted)
    failed = np.cumsum(weights[0][:, rising], axis=1)
    position = np.searchsorted(counted[rising], refused, "right")
    missed = np.where(position > 0, failed[np.arange(len(failed)), position - 1], 0)
    return missed / np.maximum(failed[:, -1], 1)


@dataclass(frozen=True, slots=True)
class _GalleryRates:
    """The rates of one gallery.

    Attributes:
        stranger_probes: number of strangers' probes.
        probes: number of enrolled identities' probes.
        persons: number of subjects with such a probe.
        fnir: FNIR [1 + B] by FPIR, for each FPIR at which it can be stated.
    """

    stranger_probes: int
    probes: int
    persons: int
    fnir: dict[float, Array]


def _search(comparisons: Comparisons, order: Ints, sizes: list[int]) -> Iterator[_Searches]:
    """Yields the searches in a gallery of the first N identities of an order, for N in `sizes`."""
    own = comparisons.trials.own
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    best_other = np.full(len(own), -np.inf, np.float32)
    for start, stop in zip([0, *sizes], sizes, strict=False):
        for rows in comparisons.blocks():
            found = comparisons.similarities[rows][:, order[start:stop]]
            column = place[own[rows]] - start
            inside = np.flatnonzero((column >= 0) & (column < stop - start))
            found[inside, column[inside]] = -np.inf
            best_other[rows] = np.maximum(best_other[rows], found.max(axis=1))
        yield _Searches(place[own] < stop, comparisons.genuine(), best_other.copy())


def _measure_gallery(
    searches: _Searches, subjects: NDArray[np.int32], weights: Weights
) -> _GalleryRates:
    known, unknown = searches.enrolled, ~searches.enrolled
    strangers, probes = int(unknown.sum()), int(known.sum())
    stated = [fpir for fpir in FPIRS if probes and is_stated(fpir, strangers)]
    counted = weights[:, subjects[known]], weights[:, subjects[unknown]]
    found = {
        fpir: fnir_at_fpir(
            searches.own[known],
            searches.best_other[known],
            searches.best_other[unknown],
            fpir,
            counted,
        )
        for fpir in stated
    }
    return _GalleryRates(strangers, probes, len(np.unique(subjects[known])), found)


def _mean_fnir(galleries: Sequence[_GalleryRates], fpir: float) -> Rate | None:
    """Returns the mean FNIR of all galleries; None if one of them cannot state it."""
    if any(fpir not in one.fnir for one in galleries):
        return None
    mean = np.mean([one.fnir[fpir] for one in galleries], axis=0)
    probes = min(one.probes for one in galleries)
    persons = min(one.persons for one in galleries)
    return Rate.of(float(mean[0]), mean[1:], probes, persons)
