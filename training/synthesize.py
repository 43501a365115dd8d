"""Writes a database of synthetic palms: a folder per identity and session, reproducible by seed."""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.anatomy import draw_palm
from training.capture import draw_session, shoot


@dataclass(frozen=True, slots=True)
class SynthesisConfig:
    """What `python -m training synthesize` writes; the defaults take 20 s on two cores.

    Attributes:
        out: folder to create.
        identities: number of palms.
        sessions: visits of each palm.
        shots: pictures at each visit.
        seed: equal seeds write equal files.
        prefix: first letter of the identities' names, as in p001.
    """

    out: Path
    identities: int = 160
    sessions: int = 5
    shots: int = 8
    seed: int = 1
    prefix: str = "p"


def synthesize(config: SynthesisConfig) -> int:
    """Writes `<out>/<identity>/<session>/<shot>.png`, grey, 224x224.

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
    # Not forked: a process that has TensorFlow's threads in it would hang in its child.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        identities = pool.map(write, range(config.identities), chunksize=4)
        for _ in tqdm(identities, "palms", config.identities):
            pass
    unfinished.rename(config.out)
    return config.identities * config.sessions * config.shots


def _write_identity(config: SynthesisConfig, folder: Path, identity: int) -> None:
    """Draws one palm and writes all its pictures."""
    cv2.setNumThreads(1)
    palm = draw_palm(_generator(config, identity))
    for visit in range(1, config.sessions + 1):
        session = draw_session(_generator(config, identity, visit))
        target = folder / f"{config.prefix}{identity + 1:03}" / f"s{visit}"
        target.mkdir(parents=True)
        for shot in range(1, config.shots + 1):
            picture = shoot(palm, session, _generator(config, identity, visit, shot))
            cv2.imwrite(str(target / f"{shot:02}.png"), picture)


def _generator(
    config: SynthesisConfig, identity: int, visit: int = 0, shot: int = 0
) -> np.random.Generator:
    """A generator of its own for every palm, visit and shot, which count from 1.

    Always four numbers: NumPy pads shorter seeds with zeros, so [s, i] and [s, i, 0] are one seed.
    """
    return np.random.default_rng([config.seed, identity, visit, shot])
