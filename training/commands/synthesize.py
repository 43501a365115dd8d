"""Writes a database of synthetic palms: a folder per identity and session, reproducible by seed."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.image_files import ImageFile
from training.synthetic.anatomy import LAYERS, draw_palm
from training.synthetic.canvas import CANVAS_PX, Layers
from training.synthetic.capture import STYLES, draw_camera, draw_session, shoot


@dataclass(frozen=True)
class SynthesisConfig:
    """What `python -m training synthesize` writes; the defaults take 10 s on two cores.

    Attributes:
        out: folder to create.
        identities: number of palms.
        sessions: visits of each palm.
        shots: images at each visit.
        seed: equal seeds write equal files.
        prefix: first letter of the identities' names, as in p001.
        style: whose camera: training, or held-out, which nets never train on.
    """

    out: Path
    identities: int = 160
    sessions: int = 5
    shots: int = 8
    seed: int = 1
    prefix: str = "p"
    style: Literal["training", "held-out"] = "training"


def synthesize(config: SynthesisConfig) -> int:
    """Writes `<out>/<identity>/<session>/<shot>.png`, grey, 128x128.

    The folder appears complete or not at all.

    Returns:
        The number of images written.

    Raises:
        FileExistsError: if `out` exists already; it is left as it is.
        ValueError: if a count is below 1.
    """
    if min(config.identities, config.sessions, config.shots) < 1:
        raise ValueError(f"identities, sessions and shots must be at least 1, not {config}")
    if config.out.exists():
        raise FileExistsError(f"{config.out} exists: remove it or choose another --out")
    unfinished = config.out.with_name(config.out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write = partial(_write_identity, config, unfinished)
    with processes() as pool:
        identities = pool.map(write, range(config.identities), chunksize=4)
        for _ in tqdm(identities, "palms", config.identities):
            pass
    unfinished.rename(config.out)
    return config.identities * config.sessions * config.shots


def draw_palms(count: int, seed: int, scratch: Path) -> ImageFile:
    """Draws identities on all cores and keeps their layers in a file that ends with the process.

    Returns:
        uint8 [count, 5 * CANVAS_PX, CANVAS_PX]; 0.15 MiB each.
    """

    def drawn() -> Iterator[Layers]:
        with processes() as pool:
            palms = pool.map(partial(draw_identity, seed), range(count), chunksize=16)
            yield from tqdm(palms, "drawing palms", count)

    shape = (count, len(LAYERS) * CANVAS_PX, CANVAS_PX)
    return ImageFile.write(drawn(), shape, scratch)


def draw_identity(seed: int, identity: int) -> Layers:
    """One palm of a database or a stream; equal seeds and numbers draw equal palms."""
    cv2.setNumThreads(1)
    return draw_palm(_generator(seed, identity))


def processes(count: int | None = None) -> ProcessPoolExecutor:
    """Processes that draw and photograph palms, one for every core unless told otherwise."""
    # Each has a core to itself. NumPy's BLAS would start threads for all of them in every process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return ProcessPoolExecutor(
        count,
        # Not forked: a process that has TensorFlow's threads in it would hang in its child.
        mp_context=get_context("spawn"),
        initializer=cv2.setNumThreads,
        initargs=(1,),
    )


def _write_identity(config: SynthesisConfig, folder: Path, identity: int) -> None:
    """Draws one palm and writes all its images."""
    name = f"{config.prefix}{identity + 1:0{max(3, len(str(config.identities)))}}"
    for visit, shots in enumerate(photograph(config, identity), start=1):
        target = folder / name / f"s{visit}"
        target.mkdir(parents=True)
        for shot, image in enumerate(shots, start=1):
            cv2.imwrite(str(target / f"{shot:02}.png"), image)


def photograph(config: SynthesisConfig, identity: int) -> list[list[NDArray[np.uint8]]]:
    """All shots of one palm by visit, as the configuration's seed and style have them."""
    style = STYLES[config.style]
    palm = draw_identity(config.seed, identity)
    camera = draw_camera(_generator(config.seed, identity, shot=1), style)
    visits: list[list[NDArray[np.uint8]]] = []
    for visit in range(1, config.sessions + 1):
        session = draw_session(_generator(config.seed, identity, visit), style, camera)
        shots = range(1, config.shots + 1)
        generators = [_generator(config.seed, identity, visit, shot) for shot in shots]
        visits.append([shoot(palm, session, rng, style) for rng in generators])
    return visits


def _generator(seed: int, identity: int, visit: int = 0, shot: int = 0) -> np.random.Generator:
    """A generator of its own for every palm, camera, visit and shot, which count from 1.

    Always four numbers: NumPy pads shorter seeds with zeros, so [s, i] and [s, i, 0] are one seed.
    """
    return np.random.default_rng([seed, identity, visit, shot])
