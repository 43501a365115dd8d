"""Landmarks are read between the places of the net's grid."""

import numpy as np
import pytest

from app.palm.landmarks import decode


def bumps(points: np.ndarray, grid: int, size_px: int, spread_px: float = 4.0) -> np.ndarray:
    """Returns logits [grid, grid, K] of Gaussians around points [K, 2] in px."""
    middles = (np.arange(grid) + 0.5) * (size_px / grid) - 0.5
    x, y = middles[None, :, None] - points[:, 0], middles[:, None, None] - points[:, 1]
    return (-(x**2 + y**2) / 2 / spread_px**2).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_positions_are_exact_to_a_small_part_of_a_place(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(20, 140, (4, 2))
    found, certainty = decode(bumps(points, 40, 160), 160)
    assert found == pytest.approx(points, abs=0.05)
    assert (certainty > 0.98).all()


def test_a_peak_is_not_moved_by_another_one() -> None:
    points = np.array([(40.3, 50.8), (120.0, 110)])
    one, other = np.moveaxis(bumps(points, 40, 160), 2, 0)
    both = np.logaddexp(np.log(0.6) + one, np.log(0.4) + other)[..., None]
    found, certainty = decode(both.astype(np.float32), 160)
    assert found[0] == pytest.approx(points[0], abs=0.05)
    assert certainty[0] == pytest.approx(0.6, abs=0.02)


def test_large_logits_do_not_overflow() -> None:
    logits = np.zeros((8, 8, 1), np.float32)
    logits[2, 5] = 1e4
    found, certainty = decode(logits, 32)
    assert found[0] == pytest.approx([21.5, 9.5])
    assert certainty[0] == 1
