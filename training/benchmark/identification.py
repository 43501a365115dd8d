"""Identification, one probe against a gallery: rank-1 and CMC closed, FNIR at FPIR open.

ISO/IEC 19795-1; P. Grother and P. J. Phillips, "Models of large population recognition performance"
(CVPR 2004); the CMC from P. J. Phillips et al., "The FERET evaluation methodology for
face-recognition algorithms", IEEE TPAMI 22 (2000).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.benchmark.comparisons import Comparisons
from training.benchmark.resampling import Rate, Weights
from training.benchmark.verification import MIN_ERRORS, Array, is_stated

FPIRS = (1e-2, 1e-3)
"""Shares of strangers taken for somebody at which the field states FNIR."""

SIZES = (10, 100, 300, 1_000, 3_000, 10_000)
"""Galleries that are tried, as far as the identities suffice."""

STRANGERS_SHARE = 0.2
"""Of the identities, at least so many stay out of every gallery."""

DRAWS = 5
"""Galleries of each size: which identities are enrolled is a matter of luck."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenSet:
    """One gallery size.

    Attributes:
        size: identities enrolled, N.
        strangers: identities not enrolled.
        stranger_probes: probes of those, the fewest of all draws.
        fnir: by FPIR, with the counts of the draw that has fewest; None where too few strangers'
            probes were seen to state it.
    """

    size: int
    strangers: int
    stranger_probes: int
    fnir: dict[float, Rate | None]


@dataclass(frozen=True, slots=True)
class _Searches:
    """What one gallery answers: each probe's similarities, and whether its identity is enrolled."""

    enrolled: NDArray[np.bool_]
    own: Array
    best_other: Array


def ranks(comparisons: Comparisons) -> Ints:
    """Rank [P] of each probe's own identity, from 1; one that is as similar goes before it."""
    own = comparisons.genuine()
    parts = [
        (comparisons.similarities[rows] >= own[rows, None]).sum(axis=1)
        for rows in comparisons.blocks()
    ]
    return np.concatenate(parts)


def cmc(found: Ints, depth: int) -> Array:
    """Cumulative match characteristic [depth]: share of probes at rank 1, 2, ... or better."""
    return (found[:, None] <= np.arange(1, depth + 1)).mean(axis=0)


def gallery_sizes(own: NDArray[np.int32], identities: int) -> list[int]:
    """Sizes to try: `SIZES`, the largest for which each FPIR can be stated, the largest of all.

    Args:
        own: int32 [P], each probe's identity.
        identities: I.

    Returns:
        Rising; none leaves fewer strangers than `STRANGERS_SHARE` says.
    """
    largest = min(identities - max(round(STRANGERS_SHARE * identities), 1), SIZES[-1])
    # Those with the fewest probes may be drawn as strangers, and their probes must suffice.
    probes = np.sort(np.bincount(own, minlength=identities)).cumsum()
    stated = [
        identities - 1 - int(np.searchsorted(probes, MIN_ERRORS / fpir - 1e-6)) for fpir in FPIRS
    ]
    return sorted({size for size in (*SIZES, *stated, largest) if 0 < size <= largest})


def open_set(
    comparisons: Comparisons, sizes: list[int], *, seed: int, weights: Weights
) -> list[OpenSet]:
    """FNIR at `FPIRS` for every gallery size, the mean over `DRAWS` random galleries.

    Args:
        comparisons: of one matcher.
        sizes: rising; as `gallery_sizes` gives them.
        seed: of the galleries.
        weights: of `draw_subjects`, [1 + B, S].
    """
    identities = comparisons.similarities.shape[1]
    rng = np.random.default_rng(seed)
    draws = [
        [
            _judge(searches, comparisons.trials.subjects, weights)
            for searches in _search(comparisons, rng.permutation(identities), sizes)
        ]
        for _ in range(DRAWS)
    ]
    return [
        OpenSet(
            size,
            identities - size,
            min(one.stranger_probes for one in of_size),
            {fpir: _mean(of_size, fpir) for fpir in FPIRS},
        )
        for size, of_size in zip(sizes, zip(*draws, strict=True), strict=True)
    ]


def fnir_at_fpir(
    own: Array,
    best_other: Array,
    strangers: Array,
    fpir: float,
    weights: tuple[Weights, Weights],
) -> Array:
    """False-negative identification rate [B] at a false-positive identification rate.

    The threshold is the lowest that at most a share `fpir` of the strangers' searches reaches with
    their best candidate. A search for somebody enrolled fails if the right candidate is below it,
    or is not the best one.

    Args:
        own: [M], similarity of each enrolled identity's probe to its own template.
        best_other: [M], its highest similarity to any other template.
        strangers: [U], the highest similarity of each stranger's probe.
        fpir: 0 to 1.
        weights: how often each counts: [B, M] and [B, U].
    """
    falling = np.argsort(-strangers)
    passed = np.cumsum(weights[1][:, falling], axis=1)
    limit = fpir * passed[:, -1:] * (1 + 1e-9)  # 1 % of 300 is 3, whatever the last binary digit
    refused = strangers[falling][(passed > limit).argmax(axis=1)]
    counted = np.where(own > best_other, own, -np.inf)  # one that is not the best always fails
    rising = np.argsort(counted)
    failed = np.cumsum(weights[0][:, rising], axis=1)
    position = np.searchsorted(counted[rising], refused, "right")
    missed = np.where(position > 0, failed[np.arange(len(failed)), position - 1], 0)
    return missed / np.maximum(failed[:, -1], 1)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One gallery: probes of strangers and of those enrolled, and by FPIR, FNIR [1 + B]."""

    stranger_probes: int
    probes: int
    persons: int
    fnir: dict[float, Array]


def _search(comparisons: Comparisons, order: Ints, sizes: list[int]) -> Iterator[_Searches]:
    """Searches in the first N identities of an order, for one N after another."""
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


def _judge(searches: _Searches, subjects: NDArray[np.int32], weights: Weights) -> _Judged:
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
    return _Judged(strangers, probes, len(np.unique(subjects[known])), found)


def _mean(draws: Sequence[_Judged], fpir: float) -> Rate | None:
    """Over the draws; None if one of them did not suffice."""
    if any(fpir not in draw.fnir for draw in draws):
        return None
    mean = np.mean([draw.fnir[fpir] for draw in draws], axis=0)
    probes, persons = (min(getattr(draw, name) for draw in draws) for name in ("probes", "persons"))
    return Rate.of(float(mean[0]), mean[1:], probes, persons)
