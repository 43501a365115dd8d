"""Writes a database of synthetic palms."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.palm.drawing import as_png
from training.fit.verdict import Verdict
from training.report.files import replacing
from training.synthetic.hands import JUDGE_HANDS, draw_hand
from training.synthetic.palms import PalmOptions, draw_identity, start_processes


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig(PalmOptions):
    """Writes a database of synthetic palms. The default 6,400 images take 10 s on two cores.

    Attributes:
        out: folder to create: `<out>/<identity>/<session>/<shot>.png`; grey, 128x128 px, unless
            --hands is given.
        prefix: prefix of the identities' names, such as p in p001.
        hands: whether to draw photographs of whole hands instead of square crops, in several sizes,
            each before a background and with a camera of its own (docs/hands.md). Then style and
            cameras have no effect.
    """

    out: Path
    prefix: str = "p"
    hands: bool = False
    identities: int = 160
    sessions: int = 5
    shots: int = 8


def synthesize(config: SynthesizeConfig) -> Verdict:
    """Writes the folder, whole or not at all.

    Raises:
        FileExistsError: if `out` exists; it is not changed.
        ValueError: if an option is out of range.
    """
    config.require_valid()
    if not config.prefix.isalnum():
        raise ValueError(f"--prefix must be letters or digits, such as p, not {config.prefix!r}")
    if config.out.exists():
        raise FileExistsError(f"{config.out} exists: remove it or choose another --out")
    with replacing(config.out) as folder, start_processes() as pool:
        write = partial(_write_identity, config, folder)
        written = pool.map(write, range(config.identities), chunksize=4)
        for _ in tqdm(written, "palms", config.identities):
            pass
    images = config.identities * config.sessions * config.shots
    return Verdict(
        config.out,
        f"{images:,} images of {config.identities:,} synthetic palms, {config.shots} in each of "
        f"{config.sessions} sessions, "
        + ("as photographs of hands." if config.hands else f"in the {config.style} style."),
    )


def _write_identity(config: SynthesizeConfig, folder: Path, identity: int) -> None:
    """Draws one palm and writes all its images."""
    name = f"{config.prefix}{identity + 1:0{max(3, len(str(config.identities)))}}"
    photographs = (
        _photograph_hands(config, identity) if config.hands else config.photograph(identity)
    )
    for session, shots in enumerate(photographs, start=1):
        target = folder / name / f"s{session}"
        target.mkdir(parents=True)
        for shot, image in enumerate(shots, start=1):
            # Not cv2.imwrite, which reports a full disk only by its return value.
            (target / f"{shot:02}.png").write_bytes(as_png(image))


def _photograph_hands(config: SynthesizeConfig, identity: int) -> list[list[NDArray[np.uint8]]]:
    """Draws all photographs of one hand, by session."""
    palm = draw_identity(config.seed, identity)
    first = identity * config.sessions * config.shots
    numbers = np.arange(first, first + config.sessions * config.shots)
    return [
        [draw_hand(config.seed, number, JUDGE_HANDS, palm)[0] for number in session]
        for session in numbers.reshape(config.sessions, config.shots).tolist()
    ]
