import keras
import numpy as np
import pytest

from training.nets.losses import MarginLoss, PairLoss


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
