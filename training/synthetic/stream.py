"""A stream of synthetic training images. Each image is taken when needed and used once."""

from concurrent.futures import Executor, Future
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.image_files import ImageFile
from training.database.palms import Pixels
from training.fit.batches import as_colour
from training.synthetic.pairs import photograph_pairs

CAMERA_PALMS = 32
"""Palms of a batch that share a camera. If each palm had its own camera, a net could recognize
palms by their cameras."""

AHEAD = 12
"""Batches that the processes prepare at the same time, so that no process waits for another."""


class PalmStream(keras.utils.PyDataset):
    """Batches of pairs: two images of each palm, in two sessions. No image is used twice.

    An epoch shows every palm equally often, in a new order; palms that do not fill a batch are
    left out. A batch depends only on the seed, the epoch and its index, so a resumed training
    gets the same images as one that was not stopped.
    """

    def __init__(
        self,
        palms: ImageFile,
        *,
        pairs: int,
        batch_size: int,
        side_px: int,
        seed: int,
        degraded: bool,
        zoomed: bool = True,
        epoch: int = 0,
        first_label: int = 0,
        camera_palms: int = CAMERA_PALMS,
        pool: Executor | None = None,
    ) -> None:
        """Creates the stream.

        Args:
            palms: layers of N palms, from `training.synthetic.palms.draw_palms`.
            pairs: pairs of every palm in an epoch, at least 1.
            batch_size: images in a batch over all devices, an even number; at most 2 N are used.
            side_px: side of the images.
            seed: seed of the order, the sessions and the shots.
            degraded: degrade the images (`training.fit.augmentation.degrade`) and displace them
                more.
            zoomed: cameras differ in scale.
            epoch: first epoch to run, from 0.
            first_label: label of the first palm.
            camera_palms: palms of a batch that share a camera.
            pool: processes that take the images in advance; None takes them in this process.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=16)
        self._palms = palms
        self._identities = palms.shape[0]
        self._pairs = pairs
        self._batch_palms = min(batch_size // 2, self._identities)
        self._side_px = side_px
        self._seed = seed
        self._first_label = first_label
        self._changes = degraded, zoomed
        self._camera_palms = camera_palms
        self._pool = pool
        self._begin(epoch)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        return len(self._order) // self._batch_palms

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """Returns images uint8 [B, side_px, side_px, 3] and labels int32 [B] of a batch."""
        if self._pool is None:
            parts = [photograph_pairs(*task) for task in self._tasks(index)]
        else:
            for number in range(index, min(index + AHEAD, len(self))):
                if number not in self._submitted:
                    tasks = self._tasks(number)
                    self._submitted[number] = [
                        self._pool.submit(photograph_pairs, *task) for task in tasks
                    ]
            parts = [future.result() for future in self._submitted.pop(index)]
        labels = np.repeat(self._chosen(index), 2) + self._first_label
        return as_colour(np.concatenate(parts)), labels.astype(np.int32)

    def _chosen(self, index: int) -> NDArray[np.int64]:
        """Returns the numbers of a batch's palms, int64 [B / 2]."""
        return self._order[index * self._batch_palms :][: self._batch_palms]

    def _tasks(self, index: int) -> list[tuple[Any, ...]]:
        """Returns the arguments of `photograph_pairs` for each camera of a batch."""
        chosen = self._chosen(index)
        camera = np.arange(self._batch_palms) // self._camera_palms
        rng_key = (self._seed, self._epoch, index)
        return [
            (self._palms, chosen[camera == one], rng_key, int(one), self._side_px, *self._changes)
            for one in np.unique(camera)
        ]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._begin(self._epoch + 1)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._submitted: dict[int, list[Future[Pixels]]] = {}
        rng = np.random.default_rng([self._seed, epoch])
        # Whole batches of each order, so that no batch has a palm twice.
        whole = self._identities // self._batch_palms * self._batch_palms
        orders = [rng.permutation(self._identities)[:whole] for _ in range(self._pairs)]
        self._order = np.concatenate(orders)
