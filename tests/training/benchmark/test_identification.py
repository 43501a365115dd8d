"""Ranks, CMC and open-set errors against hand-computed cases and a search by brute force."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.toy_trials import make_trials
from training.benchmark.comparisons import Comparisons
from training.benchmark.identification import (
    FPIRS,
    cmc,
    fnir_at_fpir,
    gallery_sizes,
    open_set,
    ranks,
)
from training.benchmark.resampling import Weights, draw_subjects

Array = NDArray[np.floating]


def compared(similarities: Any, own: Any, pairs_at_once: int = 1 << 22) -> Comparisons:
    """Comparisons in which every identity is another person."""
    found = np.asarray(similarities, np.float32)
    return Comparisons(found, make_trials(own, np.arange(found.shape[1])), pairs_at_once)


def equally(own: Array, strangers: Array) -> tuple[Weights, Weights]:
    return np.ones((1, len(own))), np.ones((1, len(strangers)))


def test_ranks_and_cmc_agree_with_a_case_counted_by_hand() -> None:
    one = compared(
        [[0.9, 0.1, 0.2], [0.5, 0.6, 0.7], [0.5, 0.5, 0.1], [0.8, 0.7, 0.6]], [0, 1, 0, 2]
    )
    # In the third another identity is as similar: a tie counts as an error.
    assert ranks(one).tolist() == [1, 2, 2, 3]
    assert cmc(ranks(one), 3).tolist() == [0.25, 0.75, 1]


def test_fnir_counts_probes_below_the_threshold_and_probes_that_are_not_first() -> None:
    strangers = np.linspace(0, 0.6, 300)  # 1 % of 300 is 3: the fourth highest must stay out
    fourth = strangers[-4]
    own = np.array([fourth, np.nextafter(fourth, 1), 0.9, 0.9])
    best_other = np.array([0.0, 0.0, 0.95, 0.1])
    found = fnir_at_fpir(own, best_other, strangers, 0.01, equally(own, strangers))
    assert found.tolist() == [0.5]  # the first is below the threshold, the third is not first


def test_fnir_counts_probes_as_often_as_they_are_drawn() -> None:
    strangers = np.array([0.5, 0.4, 0.3, 0.2])
    own, best_other = np.array([0.45, 0.6, 0.1]), np.zeros(3)
    weights = (
        np.array([[1, 1, 1], [3, 0, 0], [0, 2, 1]]),
        np.array([[1, 1, 1, 1]] * 2 + [[0, 0, 4, 0]]),
    )
    # At 25 % one of four may reach the threshold: above 0.4, and in the last above 0.3.
    found = fnir_at_fpir(own, best_other, strangers, 0.25, weights)
    np.testing.assert_allclose(found, [1 / 3, 0, 1 / 3])


def by_brute_force(one: Comparisons, enrolled: list[int], fpir: float) -> float:
    strangers, known = [], []
    for row, own in zip(one.similarities, one.trials.own, strict=True):
        (known if own in enrolled else strangers).append((row, own))
    best = sorted((max(row[enrolled]) for row, _ in strangers), reverse=True)
    limit = best[int(fpir * len(best) + 1e-9)]
    missed = [
        row[own] <= limit or any(row[other] >= row[own] for other in enrolled if other != own)
        for row, own in known
    ]
    return float(np.mean(missed))


@pytest.mark.parametrize("pairs_at_once", [1, 1 << 22])
def test_open_set_errors_are_those_of_a_search_by_brute_force(pairs_at_once: int) -> None:
    rng = np.random.default_rng(4)
    own = np.repeat(np.arange(30), 40)
    similarities = rng.normal(0, 0.15, (1200, 30))
    similarities[np.arange(1200), own] += 0.5
    one = compared(similarities, own, pairs_at_once)
    found = open_set(one, [4, 20], seed=7, weights=draw_subjects(30, 1, 50))
    rng = np.random.default_rng(7)
    orders = [rng.permutation(30) for _ in range(5)]
    for point in found:
        expected = [by_brute_force(one, order[: point.size].tolist(), 0.01) for order in orders]
        rate = point.fnir[0.01]
        assert rate is not None
        assert 0 < rate.low <= rate.value <= rate.high < 1
        assert rate.value == pytest.approx(np.mean(expected), abs=1e-9)
        assert (rate.count, rate.subjects) == (40 * point.size, point.size)
        assert point.fnir[0.001] is None  # 1,040 strangers' probes are too few
    assert [point.stranger_probes for point in found] == [26 * 40, 10 * 40]
    small, large = (point.fnir[0.01] for point in found)
    assert small
    assert large
    assert small.value < large.value


def test_the_rates_of_a_size_do_not_depend_on_the_sizes_before_it() -> None:
    own = np.repeat(np.arange(30), 40)
    similarities = np.random.default_rng(1).normal(0, 0.15, (1200, 30))
    similarities[np.arange(1200), own] += 0.5
    one, weights = compared(similarities, own), draw_subjects(30, 1, 3)
    both = open_set(one, [4, 20], seed=7, weights=weights)
    assert both[1:] == open_set(one, [20], seed=7, weights=weights)


@pytest.mark.parametrize(
    ("identities", "probes", "sizes"),
    [
        (4, 6, [3]),
        (40, 32, [10, 30, 32]),  # 1 % needs 300 probes: ten strangers
        (160, 32, [10, 66, 100, 128]),  # 0.1 % needs 3,000: 94
        (320, 1, [10, 20, 100, 256]),
        (20_000, 1, [10, 100, 300, 1_000, 3_000, 10_000]),
    ],
)
def test_galleries_are_as_large_as_the_identities_allow(
    identities: int, probes: int, sizes: list[int]
) -> None:
    assert gallery_sizes(np.repeat(np.arange(identities), probes), identities) == sizes


def test_a_size_that_states_a_rate_does_so_in_every_draw() -> None:
    own = np.repeat(np.arange(60), 3 * (np.arange(60) % 7))  # some have no probe at all
    one = compared(np.random.default_rng(2).normal(size=(len(own), 60)), own)
    sizes = gallery_sizes(own, 60)
    # The fewest probes of strangers that a draw can give, and the largest size with 300 of them.
    fewest = {n: np.sort(np.bincount(own, minlength=60))[: 60 - n].sum() for n in range(1, 60)}
    safe = max(n for n in fewest if fewest[n] >= 300)
    assert safe in sizes
    point = open_set(one, [safe], seed=1, weights=draw_subjects(60, 1, 3))[0]
    assert point.stranger_probes >= 300
    assert point.fnir[FPIRS[0]] is not None
