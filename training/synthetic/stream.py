"""Synthetic palms without end: every training image is taken when it is needed, and once only."""

from concurrent.futures import Executor, Future
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.commands.synthesize import draw_identity
from training.database.image_files import ImageFile
from training.database.palms import Palms, Pixels
from training.fit.batches import as_colour
from training.synthetic.capture import Style, draw_camera, draw_session, shoot
from training.synthetic.pairs import photograph_pairs, resize

CAMERA_PALMS = 32
"""Palms of a batch that one camera takes: a camera for each palm would tell the pairs apart."""

AHEAD = 12
"""Batches that processes have in hand, so that none waits for another."""


class PalmStream(keras.utils.PyDataset):
    """Batches of pairs: each palm of a batch at two visits. No image comes twice.

    An epoch shows every identity equally often, in a new order; those that fill no batch wait for
    the next. A batch depends on the seed, the epoch and its index alone, so a training that goes on
    sees what it would have seen.
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
        epoch: int = 0,
        first_label: int = 0,
        pool: Executor | None = None,
    ) -> None:
        """Creates the stream.

        Args:
            palms: identity layers of N palms, as `draw_palms` keeps them.
            pairs: of every identity in an epoch.
            batch_size: images in a batch, an even number, over all devices.
            side_px: side of the images.
            seed: of the order, the visits and the shots.
            degraded: spoil the images (`degrade`), and misplace them more.
            epoch: the first to run, from 0.
            first_label: label of the first identity.
            pool: processes that take the images, ahead of the training; None takes them here.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=16)
        self._palms = palms
        self._identities = palms.shape[0]
        self._pairs = pairs
        self._people = min(batch_size // 2, self._identities)
        self._side_px = side_px
        self._seed = seed
        self._first_label = first_label
        self._degraded = degraded
        self._pool = pool
        self._begin(epoch)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._order) // self._people

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """Images uint8 [B, side_px, side_px, 3] and labels int32 [B]."""
        if self._pool is None:
            parts = [photograph_pairs(*task) for task in self._tasks(index)]
        else:
            for number in range(index, min(index + AHEAD, len(self))):
                if number not in self._in_hand:
                    tasks = self._tasks(number)
                    self._in_hand[number] = [
                        self._pool.submit(photograph_pairs, *task) for task in tasks
                    ]
            parts = [future.result() for future in self._in_hand.pop(index)]
        labels = np.repeat(self._chosen(index), 2) + self._first_label
        return as_colour(np.concatenate(parts)), labels.astype(np.int32)

    def _chosen(self, index: int) -> NDArray[np.int64]:
        """Whose images a batch holds, over all devices."""
        return self._order[index * self._people :][: self._people]

    def _tasks(self, index: int) -> list[tuple[Any, ...]]:
        """Arguments of `photograph_pairs`, camera by camera."""
        chosen = self._chosen(index)
        camera = np.arange(self._people) // CAMERA_PALMS
        rng_key = (self._seed, self._epoch, index)
        return [
            (self._palms, chosen[camera == one], rng_key, int(one), self._side_px, self._degraded)
            for one in np.unique(camera)
        ]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._begin(self._epoch + 1)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._in_hand: dict[int, list[Future[Pixels]]] = {}
        rng = np.random.default_rng([self._seed, epoch])
        whole = self._identities // self._people * self._people  # nobody twice in a batch
        orders = [rng.permutation(self._identities)[:whole] for _ in range(self._pairs)]
        self._order = np.concatenate(orders)


def strangers(
    count: int, seed: int, style: Style, *, sessions: int = 2, shots: int = 2, side_px: int
) -> Palms:
    """Palms nobody trains on, in memory: what a pre-training is monitored with.

    Args:
        count: identities.
        seed: another than the training's draws other palms.
        style: whose camera takes them.
        sessions: visits of each.
        shots: images at each visit.
        side_px: side of the images.
    """
    images: list[Pixels] = []
    for identity in range(count):
        palm = draw_identity(seed, identity)
        camera = draw_camera(np.random.default_rng([seed, identity, 0, 1]), style)
        for visit in range(sessions):
            rng = np.random.default_rng([seed, identity, visit + 1, 0])
            session = draw_session(rng, style, camera)
            for shot in range(shots):
                rng = np.random.default_rng([seed, identity, visit + 1, shot + 1])
                images.append(resize(shoot(palm, session, rng, style), side_px))
    total = count * sessions * shots
    visits = np.indices((count, sessions, shots)).reshape(3, total).astype(np.int32)
    return Palms(
        pixels=np.stack(images),
        rows=np.arange(total),
        labels=visits[0],
        sessions=visits[1],
        hands=np.full(total, -1, np.int8),
        shots=visits[2],
        identities=tuple(f"stranger {i}" for i in range(count)),
        session_names=tuple(f"s{v + 1}" for v in range(sessions)),
        files=tuple(f"stranger {i}, s{v + 1}, {s}" for i, v, s in visits.T.tolist()),
        sha256="",
    )
