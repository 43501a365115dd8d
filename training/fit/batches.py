"""Batches of labelled images for training and validation."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms, Pixels
from training.fit.devices import device_count

Augmentation = Callable[[Pixels, np.random.Generator], Pixels]


class Dataset(Protocol):
    """A `keras.utils.PyDataset` of batches (images, labels) or (images, labels, weights)."""

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Returns a batch: images uint8 [B, S, S, 3], labels int32 [B], any weights [B]."""
        ...

    def on_epoch_end(self) -> None:
        """Starts the next epoch."""
        ...


class Batches(keras.utils.PyDataset):
    """Shuffled training batches; an epoch uses every image at most once, in a new order.

    A batch depends only on the seed, the epoch and its index, so a resumed training gets the same
    batches as one that was not stopped. Call `keras.Model.fit` with `shuffle=False`: it would
    otherwise request the batches in its own order. `fit` calls `on_epoch_end` before its first
    epoch, so its epoch 0 is epoch 1 here, whether resumed or not.

    Attributes:
        palms: the training images.
    """

    def __init__(
        self,
        palms: Palms,
        batch_size: int,
        seed: int,
        *,
        augment: Augmentation | None = None,
        epoch: int = 0,
        devices: int | None = None,
    ) -> None:
        """Creates the batches.

        Args:
            palms: the training images.
            batch_size: images in a batch, over all devices. If there are fewer images, they make
                one batch of the largest size that divides among the devices.
            seed: seed of the order and of the augmentation.
            augment: augments one image uint8 [H, W]; None for no augmentation.
            epoch: first epoch to run, from 0.
            devices: number of devices that share a batch; by default `device_count()`.

        Raises:
            ValueError: if there are fewer images than devices.
        """
        # One worker: several would go on drawing batches after the end of the epoch.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        devices = devices or device_count()
        if len(palms) < devices:
            raise ValueError(f"{len(palms)} training images are fewer than {devices} devices")
        self.palms = palms
        self._batch_size = min(batch_size, len(palms) // devices * devices)
        self._seed = seed
        self._augment = augment
        self._begin(epoch)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch; images that fill no batch are left out."""
        return len(self.palms) // self._batch_size

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """Returns images uint8 [B, H, W, 3] and labels int32 [B]."""
        chosen = self.chosen(index)
        images = self.palms.images(chosen)
        if self._augment is not None:
            # The 1: NumPy pads seeds with zeros, so batch 0 would have the seed of the order.
            rng = np.random.default_rng([self._seed, self._epoch, index, 1])
            images = np.stack([self._augment(image, rng) for image in images])
        return as_colour(images), self.palms.labels[chosen]

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Returns the positions of a batch's images in `palms`, int64 [B]."""
        return self._order[index * self._batch_size :][: self._batch_size]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._begin(self._epoch + 1)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self.palms))


class Ordered(keras.utils.PyDataset):
    """Validation batches of all images, in order; the last batch may be smaller.

    Batches must divide among several devices, so some of the first images are repeated at the end
    with weight 0. Keras divides a loss by the number of images, not by the sum of their weights, so
    the other weights are raised accordingly. Compile metrics as `weighted_metrics`.
    """

    def __init__(self, palms: Palms, batch_size: int, *, devices: int | None = None) -> None:
        """Creates the batches.

        Args:
            palms: the images.
            batch_size: images in a batch, rounded up to a multiple of the number of devices.
            devices: number of devices that share a batch; by default `device_count()`.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        devices = devices or device_count()
        filled = -(-len(palms) // devices) * devices
        self._palms = palms
        self._batch_size = -(-batch_size // devices) * devices
        self._order = np.arange(filled) % len(palms)
        weights = np.where(np.arange(filled) < len(palms), filled / len(palms), 0)
        self._weights = weights.astype(np.float32)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32], NDArray[np.float32]]:
        """Returns images uint8 [<= B, H, W, 3], labels int32 and weights float32 [<= B]."""
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        chosen = self._order[batch]
        return (
            as_colour(self._palms.images(chosen)),
            self._palms.labels[chosen],
            self._weights[batch],
        )


def as_colour(images: Pixels) -> Pixels:
    """Returns a view of grey images [N, H, W] with three equal channels, [N, H, W, 3]."""
    return np.broadcast_to(images[..., None], (*images.shape, 3))


def in_batches(palms: Palms, batch_size: int) -> Iterator[Pixels]:
    """Yields all images in order as uint8 [<= batch_size, H, W, 3], reading one batch at a time."""
    for start in range(0, len(palms), batch_size):
        yield as_colour(palms.images(slice(start, start + batch_size)))
