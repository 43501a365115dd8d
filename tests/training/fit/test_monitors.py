"""Figures that monitors add to an epoch's logs, against those counted by hand."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from tests.training.toy_palms import pixel_net
from training.database.palms import Palms
from training.fit.monitors import OpenSetMonitor, ValidationAccuracy, measure_with_progress
from training.fit.prototypes import set_prototypes, set_synthetic_prototypes
from training.metrics.open_set import compiled_embedder, measure_open_set


@pytest.fixture
def net() -> keras.Model:
    return pixel_net()


@pytest.fixture
def palms(make_palms: Callable[..., Palms]) -> Palms:
    """Three identities of one grey each, two sessions of two shots."""
    palms = make_palms(3, 2, 2)
    palms.pixels[:, 0, 0] = 20 + 90 * palms.labels
    return palms


def embed(palms: Palms) -> np.ndarray:
    rows = np.stack([palms.pixels[palms.rows, 0, 0] / 255, np.full(len(palms), 0.3)], axis=1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_validation_accuracy_is_the_share_nearest_to_their_own_template(
    net: keras.Model, palms: Palms
) -> None:
    palms.pixels[2:4] = 110  # the first identity's second session looks like the second identity
    train, validation = palms.select(palms.sessions == 0), palms.select(palms.sessions == 1)
    monitor, logs = ValidationAccuracy(net, train, validation), {}
    monitor.on_epoch_end(0, logs)
    assert logs == {"val_accuracy": pytest.approx(4 / 6)}


def test_open_set_figures_have_their_prefix(net: keras.Model, palms: Palms) -> None:
    monitor, logs = OpenSetMonitor(palms, prefix="alexnet_val", net=net), {"loss": 1.0}
    monitor.on_epoch_end(0, logs)
    assert logs == {"loss": 1.0, "alexnet_val_rank_1": 1.0, "alexnet_val_eer": 0.0}


def test_a_progress_bar_changes_no_figure(net: keras.Model, palms: Palms) -> None:
    run = compiled_embedder(net)
    assert measure_with_progress(run, palms, "palms", 5) == measure_open_set(run, palms, 5)


def test_prototypes_are_mean_embeddings_of_unit_length(net: keras.Model, palms: Palms) -> None:
    palms.pixels[8:10] = 255
    set_prototypes(net, palms)
    (found,) = net.get_layer("similarity").get_weights()
    means = np.stack([embed(palms)[palms.labels == i].mean(axis=0) for i in range(3)])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_identities_in_no_batch_keep_their_random_prototypes(
    net: keras.Model, palms: Palms
) -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return np.full((2, 1, 1, 3), 255, np.uint8), np.array([1, 1], np.int32)

    (before,) = net.get_layer("similarity").get_weights()
    set_synthetic_prototypes({"net": net}, Batches())
    (after,) = net.get_layer("similarity").get_weights()
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(after[1], np.array([1, 0.3]) / np.hypot(1, 0.3), atol=1e-6)
