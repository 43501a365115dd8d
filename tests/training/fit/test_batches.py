from pathlib import Path

import keras
import numpy as np
import pytest

from training.database.palms import Palms, load_palms
from training.fit.augmentation import augment
from training.fit.batches import Batches, Ordered, in_batches


@pytest.fixture(scope="session")
def palms(database: Path) -> Palms:
    return load_palms(database, 32)


def test_augmentation_reaches_the_batches(palms: Palms) -> None:
    def invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 255 - image

    plain, _ = Batches(palms, batch_size=4, seed=1)[2]
    images, labels = Batches(palms, batch_size=4, seed=1, augment=invert)[2]
    np.testing.assert_array_equal(images, 255 - plain)
    assert images.shape == (4, 32, 32, 3)
    assert labels.shape == (4,)


def test_batches_are_images_with_their_own_labels(palms: Palms) -> None:
    label_of = {p.tobytes(): n for p, n in zip(palms.images(), palms.labels, strict=True)}
    batches = Batches(palms.select(palms.sessions > 0), batch_size=5, seed=1)
    for i in range(len(batches)):
        for image, label in zip(*batches[i], strict=True):
            assert label_of[image[..., 0].tobytes()] == label


def test_every_epoch_sees_every_image_once_and_anew(palms: Palms) -> None:
    batches = Batches(palms, batch_size=3, seed=2, augment=augment)
    epochs = []
    for _ in range(2):
        labels = np.concatenate([batches[i][1] for i in range(len(batches))])
        np.testing.assert_array_equal(np.bincount(labels), [9, 9, 9, 9])
        epochs.append(batches[0][0])
        batches.on_epoch_end()
    assert not np.array_equal(*epochs)


def test_a_rest_waits_and_a_database_smaller_than_a_batch_is_one(palms: Palms) -> None:
    assert len(Batches(palms, batch_size=10, seed=1)) == 3
    assert len(Batches(palms, batch_size=64, seed=1)) == 1
    assert len(Batches(palms, batch_size=64, seed=1)[0][1]) == 36


def test_resumed_training_sees_what_an_uninterrupted_one_sees(palms: Palms) -> None:
    whole = Batches(palms, 8, seed=7, augment=augment)
    for _ in range(3):
        whole.on_epoch_end()
    resumed = Batches(palms, 8, seed=7, augment=augment, epoch=3)
    for index in (3, 0, 1):  # in any order
        np.testing.assert_array_equal(resumed[index][0], whole[index][0])
        np.testing.assert_array_equal(resumed[index][1], whole[index][1])


class Recorder(Batches):
    """Records what `fit` asks for in each epoch."""

    def __init__(self, palms: Palms, *, epoch: int = 0) -> None:
        super().__init__(palms, 12, seed=3, epoch=epoch)
        self.seen: list[dict[int, bytes]] = [{}]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = super().__getitem__(index)
        self.seen[-1][index] = images.tobytes()
        return images, labels

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.seen.append({})


def test_fit_resumed_sees_the_epochs_of_a_fit_that_was_not_stopped(palms: Palms) -> None:
    """However often Keras itself begins and ends an epoch, with a net it has built or has not."""

    def fit(model: keras.Model, batches: Recorder, first: int, end: int) -> list[dict[int, bytes]]:
        check = Ordered(palms, 10)
        arguments = {"validation_data": check, "shuffle": False, "verbose": 0}
        model.fit(batches, initial_epoch=first, epochs=end, **arguments)
        return batches.seen[-1 - (end - first) : -1]

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, run_eagerly=True)
    whole = fit(model, Recorder(palms), 0, 4)
    assert [sorted(epoch) for epoch in whole] == [[0, 1, 2]] * 4
    assert len({epoch[0] for epoch in whole}) == 4
    assert fit(model, Recorder(palms, epoch=2), 2, 4) == whole[2:]
    fresh = keras.models.clone_model(model)
    fresh.compile(loss=loss, run_eagerly=True)
    assert fit(fresh, Recorder(palms, epoch=1), 1, 3) == whole[1:3]


def test_ordered_batches_have_all_images_in_order(palms: Palms) -> None:
    batches = Ordered(palms, 10)
    assert [len(batches[i][1]) for i in range(len(batches))] == [10, 10, 10, 6]
    images = np.concatenate([batches[i][0] for i in range(len(batches))])
    np.testing.assert_array_equal(images[..., 1], palms.images())
    np.testing.assert_array_equal(np.concatenate(list(in_batches(palms, 7))), images)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    np.testing.assert_array_equal(labels, palms.labels)


def test_a_database_smaller_than_a_batch_is_one_that_divides_among_the_devices(
    palms: Palms,
) -> None:
    batches = Batches(palms, batch_size=50, seed=1, devices=5)
    assert len(batches) == 1
    assert len(batches[0][1]) == 35
    with pytest.raises(ValueError, match="2 training images are fewer than 5 devices"):
        Batches(palms.select(np.arange(len(palms)) < 2), batch_size=5, seed=1, devices=5)


@pytest.mark.parametrize("devices", [1, 2, 5, 8])
def test_weighted_figures_are_those_of_every_image_once(devices: int, palms: Palms) -> None:
    """Of 23 images; what one device finds without weights is the reference."""
    palms = palms.select(np.arange(len(palms)) % 3 != 1).select(np.arange(24) < 23)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    images = np.concatenate(list(in_batches(palms, 64)))
    expected = model.evaluate(images, palms.labels, batch_size=1, verbose=0)
    batches = Ordered(palms, 10, devices=devices)
    assert all(len(batches[i][1]) % devices == 0 for i in range(len(batches)))
    assert len(batches) > 1
    np.testing.assert_allclose(model.evaluate(batches, verbose=0), expected, rtol=1e-5)
