"""Images by the batch, as the nets take them; several devices or processes share each batch."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms, Pixels
from training.fit.devices import device_count, process_share

Augmentation = Callable[[Pixels, np.random.Generator], Pixels]


class Batches(keras.utils.PyDataset):
    """Shuffled training batches; every epoch sees every image once, in a new order.

    A batch depends on the seed, the epoch and its index alone: a training that is resumed with the
    epoch it stopped at sees what it would have seen uninterrupted. `fit` must be given
    `shuffle=False`, or it asks for the batches in an order of Python's own generator. It also ends
    an epoch before its first, so what it calls epoch 0 is epoch 1 here; resumed or not.

    Of several processes each reads its share of every batch and augments it with lots of its own.

    Attributes:
        palms: what is learned.
    """

    def __init__(
        self,
        palms: Palms,
        batch_size: int,
        seed: int,
        *,
        augment: Augmentation | None = None,
        epoch: int = 0,
    ) -> None:
        """Creates the batches.

        Args:
            palms: what to learn.
            batch_size: images in a batch, over all devices.
            seed: of the order and of the augmentation.
            augment: changes one image uint8 [H, W]; None leaves them as they are.
            epoch: the first to run, from 0.

        Raises:
            ValueError: if there are fewer images than devices.
        """
        # One worker: Keras's pool of several would draw on after the epoch's end.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        devices = device_count()
        if len(palms) < devices:
            raise ValueError(f"{len(palms)} training images are fewer than {devices} devices")
        self.palms = palms
        # A database smaller than a batch is one batch, of as many as divide among the devices.
        self._batch_size = min(batch_size, len(palms) // devices * devices)
        self._share = process_share()
        self._seed = seed
        self._augment = augment
        self._begin(epoch)

    def __len__(self) -> int:
        """Batches in an epoch; a rest smaller than a batch waits for the next epoch."""
        return len(self.palms) // self._batch_size

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """This process's images uint8 [B, H, W, 3] and labels int32 [B] of one batch."""
        chosen = self.chosen(index)
        images = self.palms.images(chosen)
        if self._augment is not None:
            rng_key = 1 + (self._share.start or 0)
            rng = np.random.default_rng([self._seed, self._epoch, index, rng_key])
            images = np.stack([self._augment(image, rng) for image in images])
        return as_colour(images), self.palms.labels[chosen]

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Positions in `palms` of one batch's images, this process's share."""
        return self._order[index * self._batch_size :][: self._batch_size][self._share]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._begin(self._epoch + 1)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self.palms))


class Ordered(keras.utils.PyDataset):
    """All images once and in order, for validation; the last batch may be smaller.

    Several devices need batches that divide among them, so some of the first images stand once
    more at the end, with weight 0. Keras divides a loss by the number of images, not by their
    weights, so the others weigh as much more. Metrics must be compiled as `weighted_metrics`.
    """

    def __init__(self, palms: Palms, batch_size: int) -> None:
        """Creates the batches; `batch_size` is rounded up to what divides among the devices."""
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        devices = device_count()
        filled = -(-len(palms) // devices) * devices
        self._palms = palms
        self._batch_size = -(-batch_size // devices) * devices
        self._share = process_share()
        self._order = np.arange(filled) % len(palms)
        weights = np.where(np.arange(filled) < len(palms), filled / len(palms), 0)
        self._weights = weights.astype(np.float32)

    def __len__(self) -> int:
        """Batches in all."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32], NDArray[np.float32]]:
        """This process's images uint8 [<= B, H, W, 3], labels int32 and weights float32 [<= B]."""
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        chosen = self._order[batch][self._share]
        images = as_colour(self._palms.images(chosen))
        return images, self._palms.labels[chosen], self._weights[batch][self._share]


def as_colour(images: Pixels) -> Pixels:
    """Grey [N, H, W] as the nets take it, [N, H, W, 3]; a view, not a copy."""
    return np.broadcast_to(images[..., None], (*images.shape, 3))


def in_batches(palms: Palms, batch_size: int) -> Iterator[Pixels]:
    """All images in order, in pieces of uint8 [<= batch_size, H, W, 3], read as they are used."""
    for start in range(0, len(palms), batch_size):
        yield as_colour(palms.images(slice(start, start + batch_size)))
