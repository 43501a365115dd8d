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
        ([0.8, 0.9], [0.1, 0.2, 0.3], 0),  # apart
        ([0.1, 0.2], [0.8, 0.9], 1),  # the wrong way round
        ([0.4, 0.9], [0.1, 0.5], 1 / 2),  # at 0.5 one of two is wrong on either side
        ([0.3, 0.7, 0.8, 0.9], [0.1, 0.2, 0.4, 0.75], 1 / 4),  # at 0.7
        ([0.5, 0.5], [0.5, 0.5, 0.5], 1),  # no threshold parts ties
        ([0.5, 0.5, 0.5, 0.9], [0.5, 0.1, 0.1, 0.1], 1 / 4),  # at 0.5 three ties are matches
    ],
)
def test_equal_error_rate_is_what_one_counts_by_hand(
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
    with pytest.raises(ValueError, match=r"of \d genuine and \d impostor pairs is none: compare"):
        equal_error_rate(np.array(genuine), [np.array(block) for block in impostors])


def test_wilson_interval_is_where_the_score_test_just_does_not_reject() -> None:
    for hits, count in [(0, 10), (7, 10), (50, 50), (300, 1000)]:
        for bound in wilson_interval(hits, count):
            # Wilson's definition: |observed - p| = z * sqrt(p (1 - p) / n), squared, at both ends.
            spread = 1.959964**2 * bound * (1 - bound) / count
            assert (hits / count - bound) ** 2 == pytest.approx(spread, abs=1e-12)
