"""A stream of the finder's training samples. Each is drawn when needed and used once."""

from concurrent.futures import Executor, Future

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.image_files import ImageFile
from training.finder.samples import SHEET, draw_sheet
from training.synthetic.pairs import Pixels

AHEAD = 4
"""Batches that the processes prepare at the same time, so that no process waits for another."""

Sheet = tuple[Pixels, NDArray[np.float32]]


class SampleStream(keras.utils.PyDataset):
    """Batches of samples. A batch depends only on the seed, the epoch and its index."""

    def __init__(
        self,
        palms: ImageFile,
        *,
        batches: int,
        batch_size: int,
        side_px: int,
        seed: int,
        epoch: int = 0,
        pool: Executor | None = None,
    ) -> None:
        """Creates the stream.

        Args:
            palms: layers of palms, from `training.synthetic.palms.draw_palms`.
            batches: batches in an epoch.
            batch_size: samples in a batch, a multiple of `SHEET`.
            side_px: side of the views.
            seed: seed of the sheets.
            epoch: first epoch to run, from 0.
            pool: processes that draw in advance; None draws in this process.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=4)
        self._palms = palms
        self._batches = batches
        self._sheets = batch_size // SHEET
        self._side_px = side_px
        self._seed = seed
        self._epoch = epoch
        self._pool = pool
        self._submitted: dict[int, list[Future[Sheet]]] = {}

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        return self._batches

    def __getitem__(self, index: int) -> Sheet:
        """Returns views uint8 [B, S, S, 1] and targets float32 [B, T] of a batch."""
        if self._pool is None:
            sheets = [draw_sheet(*task) for task in self._tasks(index)]
        else:
            for number in range(index, min(index + AHEAD, len(self))):
                if number not in self._submitted:
                    tasks = self._tasks(number)
                    self._submitted[number] = [
                        self._pool.submit(draw_sheet, *task) for task in tasks
                    ]
            sheets = [future.result() for future in self._submitted.pop(index)]
        views, targets = zip(*sheets, strict=True)
        return np.concatenate(views), np.concatenate(targets)

    def on_epoch_end(self) -> None:
        """Starts the next epoch."""
        self._epoch += 1
        self._submitted = {}

    def _tasks(self, index: int) -> list[tuple[ImageFile, int, int, int]]:
        """Returns the arguments of `draw_sheet` for each sheet of a batch."""
        first = (self._epoch * self._batches + index) * self._sheets
        return [
            (self._palms, self._seed, number, self._side_px)
            for number in range(first, first + self._sheets)
        ]
