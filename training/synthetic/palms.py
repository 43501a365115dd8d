"""Draws synthetic palms by seed and number, and photographs each with one camera.

A seed and a number always give the same palm and the same images, on any number of cores.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.image_files import ImageFile
from training.fit.options import require_at_least
from training.synthetic.anatomy import LAYERS, draw_palm
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, Layers
from training.synthetic.capture import shoot
from training.synthetic.sessions import draw_session
from training.synthetic.styles import STYLES, Style


@dataclass(frozen=True, kw_only=True)
class PalmOptions:
    """Which palms are drawn, and how they are photographed.

    Attributes:
        identities: number of palms, at least 1.
        sessions: sessions of each palm, at least 1.
        shots: images in each session, at least 1.
        seed: seed of the palms and the images, at least 0. Equal seeds give equal images.
        style: family of the cameras. No net is trained on any but training.
        cameras: number of cameras, at least 0, which take turns from palm to palm. 0: each palm has
            a camera of its own. Strangers before one camera are more alike, as at a site.
    """

    identities: int
    sessions: int
    shots: int
    seed: int = 1
    style: Literal["training", "held-out", "contact", "mobile", "polarized"] = "training"
    cameras: int = 0

    def require_valid(self) -> None:
        """Raises ValueError if a number is out of range; the message names its option."""
        require_at_least(asdict(self), identities=1, sessions=1, shots=1, seed=0, cameras=0)

    def photograph(self, identity: int) -> list[list[NDArray[np.uint8]]]:
        """Returns all images of one palm, as the function `photograph` does."""
        return photograph(
            identity,
            seed=self.seed,
            style=STYLES[self.style],
            sessions=self.sessions,
            shots=self.shots,
            cameras=self.cameras,
        )


def draw_identity(seed: int, identity: int) -> Layers:
    """Draws one palm.

    Args:
        seed: seed of the database or the stream, at least 0.
        identity: number of the palm, from 0.

    Returns:
        uint8 [8, CANVAS_PX, CANVAS_PX]; see `training.synthetic.anatomy.draw_palm`.
    """
    cv2.setNumThreads(1)
    return draw_palm(_generator(seed, identity))


def draw_palms(count: int, seed: int, scratch: Path) -> ImageFile:
    """Draws palms on all cores and keeps their layers in an unnamed file.

    Args:
        count: number of palms, at least 1.
        seed: seed of the palms.
        scratch: folder of the file, which needs 0.24 MiB for each palm.

    Returns:
        uint8 [count, 8 * CANVAS_PX, CANVAS_PX].

    Raises:
        OSError: if the palms do not fit into the folder.
    """

    def drawn() -> Iterator[Layers]:
        with start_processes() as pool:
            palms = pool.map(partial(draw_identity, seed), range(count), chunksize=16)
            yield from tqdm(palms, "drawing palms", count)

    shape = (count, len(LAYERS) * CANVAS_PX, CANVAS_PX)
    return ImageFile.write(drawn(), shape, scratch)


def photograph(
    identity: int, *, seed: int, style: Style, sessions: int, shots: int, cameras: int = 0
) -> list[list[NDArray[np.uint8]]]:
    """Draws one palm and takes all its images with one camera.

    Args:
        identity: number of the palm, from 0.
        seed: seed of the database, at least 0.
        style: family of the palm's camera.
        sessions: number of sessions.
        shots: number of images in each session.
        cameras: see `PalmOptions`.

    Returns:
        For each session, its images uint8 [128, 128].
    """
    palm = draw_identity(seed, identity)
    turn = identity % cameras if cameras else identity
    camera = draw_camera(_generator(seed, turn, shot=1), style)
    images: list[list[NDArray[np.uint8]]] = []
    for number in range(1, sessions + 1):
        session = draw_session(_generator(seed, identity, number), style, camera)
        generators = [_generator(seed, identity, number, shot) for shot in range(1, shots + 1)]
        images.append([shoot(palm, session, rng, style) for rng in generators])
    return images


def start_processes(count: int | None = None) -> ProcessPoolExecutor:
    """Starts processes that draw and photograph palms, by default one for every core."""
    # Each process uses one core; NumPy's BLAS would start a thread for every core in each of them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return ProcessPoolExecutor(
        count,
        # Not forked: a fork of a process with TensorFlow's threads hangs.
        mp_context=get_context("spawn"),
        initializer=_set_up_process,
    )


def _set_up_process() -> None:
    """Limits OpenCV to one thread, and ends this process when its parent ends."""
    cv2.setNumThreads(1)
    if parent := parent_process():  # which, if killed, cannot tell its workers to stop
        Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _generator(seed: int, identity: int, session: int = 0, shot: int = 0) -> np.random.Generator:
    """Returns the generator for a palm, its camera, a session or a shot.

    The seed always has four numbers: NumPy pads seeds with zeros, so [s, i] and [s, i, 0] would be
    equal. Sessions and shots are numbered from 1.
    """
    return np.random.default_rng([seed, identity, session, shot])
