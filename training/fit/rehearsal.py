"""Batches for fine-tuning: pairs of images of a user's palms, and pairs of synthetic palms.

A net that is trained on only a few palms overfits them and gets worse on all others. Training on
synthetic palms in the same batches prevents this (A. Robins, "Catastrophic forgetting, rehearsal
and pseudorehearsal", 1995).
"""

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.image_files import ImageFile
from training.database.palms import Palms, Pixels
from training.fit.augmentation import augment
from training.fit.batches import Dataset, as_colour
from training.synthetic.stream import PalmStream

REHEARSED_SEED = 2_000_003
"""Seed of the rehearsed palms; neither pre-training nor monitoring uses it."""


def rehearse(
    own: Palms, synthetic: ImageFile | None, batch_size: int, seed: int
) -> Callable[[int], "Rehearsal"]:
    """Returns a function that creates the batches, given the first epoch.

    Args:
        own: the user's training images.
        synthetic: layers of synthetic palms, from `training.synthetic.palms.draw_palms`, which
            fill half of every batch; None for no synthetic palms.
        batch_size: images in a batch, at least 4.
        seed: seed of order, augmentation and synthetic images.
    """
    pairs = batch_size // (4 if synthetic else 2)

    def batches(epoch: int) -> Rehearsal:
        rehearsed = synthetic and PalmStream(
            synthetic,
            pairs=1,
            batch_size=2 * pairs,
            side_px=own.pixels.shape[-1],
            seed=seed,
            epoch=epoch,
            first_label=len(own.identities),
            degraded=True,  # as in pre-training
        )
        return Rehearsal(own, rehearsed, pairs, seed, epoch)

    return batches


class Rehearsal(keras.utils.PyDataset):
    """Batches of augmented pairs of the user's palms, followed by pairs of synthetic palms.

    A batch depends only on the seed, the epoch and its index.
    """

    def __init__(
        self,
        own: Palms,
        rehearsed: Dataset | None,
        identities: int,
        seed: int,
        epoch: int,
    ) -> None:
        """Creates the batches.

        Args:
            own: the user's training images.
            rehearsed: batches of synthetic pairs, with labels above the user's; None for no
                synthetic pairs.
            identities: largest number of the user's palms in a batch.
            seed: seed of order and augmentation.
            epoch: first epoch to run, from 0.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._own, self._rehearsed, self._seed, self._epoch = own, rehearsed, seed, epoch
        self._rows = [np.flatnonzero(own.labels == i) for i in range(len(own.identities))]
        self._count = min(identities, len(self._rows))

    def __len__(self) -> int:
        """Returns the number of batches in an epoch: about as many images as the user has."""
        return max(len(self._own) // (2 * self._count), 1)

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """Returns images uint8 [B, S, S, 3] and labels int32 [B], each label twice."""
        rng = np.random.default_rng([self._seed, self._epoch, index])
        chosen = rng.permutation(len(self._rows))[: self._count]
        # An identity with one image is paired with itself, augmented in two ways.
        rows = [rng.choice(self._rows[i], 2, replace=len(self._rows[i]) < 2) for i in chosen]
        own = self._own.images(np.concatenate(rows))
        images = as_colour(np.stack([augment(image, rng) for image in own]))
        labels = np.repeat(chosen, 2).astype(np.int32)
        if self._rehearsed is None:
            return images, labels
        more_images, more_labels = self._rehearsed[index % len(self._rehearsed)]
        return np.concatenate([images, more_images]), np.append(labels, more_labels)

    def on_epoch_end(self) -> None:
        """Starts the next epoch, also of the synthetic pairs."""
        self._epoch += 1
        if self._rehearsed:
            self._rehearsed.on_epoch_end()
