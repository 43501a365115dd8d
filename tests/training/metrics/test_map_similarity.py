"""Similarity of vein maps, against the similarity that nets are trained with."""

import keras
import numpy as np

from training.metrics.map_similarity import map_similarities
from training.nets.losses import shifted_similarities


def test_maps_are_compared_as_in_training() -> None:
    maps = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)
    maps[4] = 0  # no usable place
    expected = np.asarray(shifted_similarities(keras.ops.convert_to_tensor(maps), 2))
    np.testing.assert_allclose(map_similarities(maps, maps, 2), expected, atol=1e-5)
    part = map_similarities(maps[:2], maps[1:], 2)
    np.testing.assert_allclose(part, expected[:2, 1:], atol=1e-5)


def test_a_map_matches_itself_shifted_by_two_places_and_not_by_three() -> None:
    scene = np.random.default_rng(1).normal(size=(1, 14, 14, 2)).astype(np.float32)
    probe = scene[:, 3:11, 3:11]
    shifted = [scene[:, 3 + by : 11 + by, 3:11] for by in (0, 2, -2, 3)]
    found = map_similarities(probe, np.concatenate(shifted))[0]
    np.testing.assert_allclose(found[:3], 1, atol=1e-5)
    assert found[3] < 0.9
