"""Rates against hand-computed cases and a search through every threshold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics.rates import equal_error_rate, wilson_interval

Array = NDArray[np.floating]


def by_brute_force(genuine: Array, impostor: Array) -> float:
    """Tries every threshold that makes a difference, also those that are impostors' alone."""
    worst = []
    for threshold in [*genuine, *impostor, np.inf]:
        false_non_matches = sum(one < threshold for one in genuine)
        false_matches = sum(one >= threshold for one in impostor)
        worst.append(max(false_non_matches / len(genuine), false_matches / len(impostor)))
    return float(min(worst))


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.8, 0.9], [0.1, 0.2, 0.3], 0),  # separated
        ([0.1, 0.2], [0.8, 0.9], 1),  # every genuine pair below every impostor
        ([0.4, 0.9], [0.1, 0.5], 1 / 2),  # at 0.5 one of two is wrong on either side
        ([0.3, 0.7, 0.8, 0.9], [0.1, 0.2, 0.4, 0.75], 1 / 4),  # at 0.7
        ([0.5, 0.5], [0.5, 0.5, 0.5], 1),  # no threshold separates ties
        ([0.5, 0.5, 0.5, 0.9], [0.5, 0.1, 0.1, 0.1], 1 / 4),  # at 0.5 three ties are matches
    ],
)
def test_equal_error_rate_agrees_with_cases_counted_by_hand(
    genuine: list[float], impostor: list[float], expected: float
) -> None:
    assert equal_error_rate(np.array(genuine), [np.array(impostor)]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_equal_error_rate_is_the_best_of_all_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    decimals = 1 + seed % 3  # with one there are many ties
    genuine = rng.normal(0.6, 0.2, 40).round(decimals).astype(np.float32)
    impostor = rng.normal(0.2, 0.2, 90).round(decimals).astype(np.float32)
    expected = by_brute_force(genuine, impostor)
    assert 0 < expected < 0.5
    assert equal_error_rate(genuine, [impostor]) == pytest.approx(expected, abs=1e-12)


def test_equal_error_rate_does_not_depend_on_the_blocks() -> None:
    rng = np.random.default_rng(3)
    genuine, impostor = rng.normal(0.5, 0.2, (4, 5)), rng.normal(0.3, 0.2, 90)
    blocks = [impostor[:1], impostor[1:1], impostor[1:61].reshape(6, 10), impostor[61:]]
    assert equal_error_rate(genuine, iter(blocks)) == equal_error_rate(genuine, [impostor])


@pytest.mark.parametrize(("genuine", "impostors"), [([], [[0.5]]), ([0.5], []), ([0.5], [[]])])
def test_equal_error_rate_of_nothing_is_refused(
    genuine: list[float], impostors: list[list[float]]
) -> None:
    with pytest.raises(ValueError, match=r"\d genuine and \d impostor pairs have no equal"):
        equal_error_rate(np.array(genuine), [np.array(block) for block in impostors])


def test_wilson_interval_agrees_with_the_published_example() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 1 of 29."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
