"""Patterns of sensors and of the glass in front of them."""

import numpy as np

from training.synthetic.patterns import draw_bands, draw_smear


def test_bands_run_across_the_rows_and_move() -> None:
    first, second = (draw_bands(np.random.default_rng(seed)) for seed in (0, 1))
    assert (first == first[:, :1]).all()
    assert first.std() > 0.001
    assert not np.array_equal(first, second)


def test_smears_brighten_a_part_of_the_image() -> None:
    for seed in range(5):
        smear = draw_smear(np.random.default_rng(seed))
        assert smear.max() > 0.01
        assert 0.2 < (np.abs(smear) < 0.002).mean() < 1
