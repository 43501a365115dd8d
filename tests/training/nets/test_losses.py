from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from training.nets.losses import (
    MarginLoss,
    PairLoss,
    ShiftLoss,
    best_by_convolution,
    best_by_products,
    shifted_similarities,
)


def test_margin_loss_is_cross_entropy_of_the_reduced_true_similarity() -> None:
    similarity = np.array([[0.9, 0.1, -0.2], [0.3, 0.4, 0.5]], np.float32)
    logits = 10 * (similarity - 0.2 * np.eye(3)[[0, 1]])
    expected = np.log(np.exp(logits).sum(1)) - logits[[0, 1], [0, 1]]
    found = MarginLoss(10, 0.2)(np.array([0, 1]), similarity)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)


def test_pair_loss_is_cross_entropy_of_finding_the_partner_among_all_others() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(6, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, partner = np.array([7, 7, 2, 2, 4, 4]), [1, 0, 3, 2, 5, 4]
    expected = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        logits = [10 * (embeddings[i] @ embeddings[j] - 0.2 * (j == partner[i])) for j in others]
        odds = np.exp(logits) / np.exp(logits).sum()
        expected.append(-np.log(odds[others.index(partner[i])]))
    loss = PairLoss(scale=10, margin=0.2)
    found = loss.call(labels, keras.ops.convert_to_tensor(embeddings))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def best_shifts(maps: np.ndarray, shift: int) -> np.ndarray:
    """The similarities of all pairs of maps by plain loops: central windows and all shifts."""
    count, side, window = len(maps), maps.shape[1], maps.shape[1] - 2 * shift
    similarity = np.full((count, count), -1.0)
    for i, j in np.ndindex(count, count):
        probe = maps[i, shift : side - shift, shift : side - shift].ravel()
        for row, column in np.ndindex(2 * shift + 1, 2 * shift + 1):
            other = maps[j, row : row + window, column : column + window].ravel()
            cosine = probe @ other / np.linalg.norm(probe) / np.linalg.norm(other)
            similarity[i, j] = max(similarity[i, j], cosine)
    return similarity


def test_shift_loss_is_cross_entropy_of_finding_the_partner_at_the_best_shift() -> None:
    maps = np.random.default_rng(0).normal(size=(6, 7, 7, 3)).astype(np.float32)
    labels, partner = np.array([7, 2, 7, 4, 4, 2]), [2, 5, 0, 4, 3, 1]
    similarity = best_shifts(maps, 2)
    logits = 10 * (similarity - 0.2 * np.eye(6)[partner])
    odds = np.exp(logits) * (1 - np.eye(6))
    expected = -np.log(odds[np.arange(6), partner] / odds.sum(axis=1))
    loss = ShiftLoss(scale=10, margin=0.2, shift=2)
    found = loss.call(labels, keras.ops.convert_to_tensor(maps))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(("row", "column"), [(3, 3), (0, 5), (6, 1)])
def test_shift_loss_does_not_depend_on_a_shift_of_one_image(row: int, column: int) -> None:
    scenes = np.random.default_rng(0).normal(size=(3, 16, 16, 8)).astype(np.float32)
    upright = scenes[:, 3:13, 3:13]
    shifted = scenes[:, row : row + 10, column : column + 10]
    maps = keras.ops.convert_to_tensor(np.concatenate([upright, shifted]))
    similarities = np.asarray(shifted_similarities(maps, 3))
    np.testing.assert_allclose(similarities[[0, 1, 2], [3, 4, 5]], 1, atol=1e-5)
    labels, found_every_time = np.tile(np.arange(3), 2), 0.01
    assert np.asarray(ShiftLoss(24, 0.2, 3).call(labels, maps))[:3].max() < found_every_time
    if (row, column) != (3, 3):
        assert np.asarray(ShiftLoss(24, 0.2, 0).call(labels, maps))[:3].max() > 1


@pytest.mark.parametrize("compare", [best_by_convolution, best_by_products])
def test_both_ways_to_compare_at_all_shifts_are_those_of_plain_loops(
    compare: Callable[..., Any],
) -> None:
    maps = np.random.default_rng(0).normal(size=(4, 7, 7, 2)).astype(np.float32)
    found = compare(keras.ops.convert_to_tensor(maps), 2)
    np.testing.assert_allclose(found, best_shifts(maps, 2), atol=1e-5)


def test_the_shift_is_cut_to_what_a_small_map_allows() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 4, 4, 2)).astype(np.float32)
    found = shifted_similarities(keras.ops.convert_to_tensor(maps), 3)
    np.testing.assert_allclose(found, best_shifts(maps, 1), atol=1e-5)


def test_a_map_without_usable_places_is_similar_to_none() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 7, 7, 2)).astype(np.float32)
    maps[1] = 0
    found = np.asarray(shifted_similarities(keras.ops.convert_to_tensor(maps), 2))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_array_equal(found[:, 1], 0)
