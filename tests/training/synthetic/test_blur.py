"""Blur of lenses, hands and telephones."""

import numpy as np

from training.synthetic.blur import blur_phone


def test_a_telephone_loses_fine_detail_and_sharpens_edges() -> None:
    rng = np.random.default_rng(0)
    grain = rng.standard_normal((128, 128)).astype(np.float32)
    assert blur_phone(grain, 0.5, rng).std() < 0.7
    edge = np.repeat(np.float32([[0, 1]]), 64, axis=1).repeat(128, axis=0)
    assert blur_phone(edge, 0.5, rng).max() > 1.05
