"""Batches of fine-tuning: the user's pairs, and after them the rehearsed ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from training.database.palms import Palms
from training.fit.rehearsal import Rehearsal


class Synthetic:
    """Two batches of one pair; all pixels of an image are the epoch's number."""

    epoch = 0

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        images = np.full((2, 16, 16, 3), self.epoch, np.uint8)
        return images, np.array([100 + index] * 2, np.int32)

    def on_epoch_end(self) -> None:
        self.epoch += 1


@pytest.fixture
def palms(make_palms: Callable[..., Palms]) -> Palms:
    """Four identities with three images each, every image of one grey."""
    palms = make_palms(4, 1, 3)
    return Palms(
        **{name: getattr(palms, name) for name in Palms.__dataclass_fields__}
        | {"pixels": np.repeat(np.repeat(palms.pixels, 16, axis=1), 16, axis=2)}
    )


def test_a_batch_pairs_the_users_palms_and_then_the_rehearsed(palms: Palms) -> None:
    batches = Rehearsal(palms, Synthetic(), identities=3, seed=1, epoch=0)
    assert len(batches) == 2
    for index, rehearsed in ((0, 100), (1, 101)):
        images, labels = batches[index]
        assert images.shape == (8, 16, 16, 3)
        assert len(set(labels[:6])) == 3
        np.testing.assert_array_equal(labels[::2], labels[1::2])
        assert labels[6:].tolist() == [rehearsed] * 2


def test_a_batch_depends_on_seed_epoch_and_index_alone(palms: Palms) -> None:
    first = Rehearsal(palms, Synthetic(), identities=3, seed=1, epoch=0)
    other = first[0][0]
    first.on_epoch_end()
    again = Rehearsal(palms, None, identities=3, seed=1, epoch=1)
    np.testing.assert_array_equal(first[1][0][:6], again[1][0])
    assert not np.array_equal(first[0][0][:6], other[:6])
    assert (first[0][0][6:] == 1).all()  # the rehearsed images are the next epoch's, too


def test_an_identity_with_one_image_is_paired_with_itself(palms: Palms) -> None:
    single = palms.select(palms.shots == 0)
    images, labels = Rehearsal(single, None, identities=2, seed=1, epoch=0)[0]
    assert labels[0] == labels[1]
    assert not np.array_equal(images[0], images[1])  # augmented in two ways
