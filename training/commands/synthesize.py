"""Writes a database of synthetic palms."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from training.fit.verdict import Verdict
from training.report.files import replacing
from training.synthetic.palms import PalmOptions, start_processes


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig(PalmOptions):
    """Writes a database of synthetic palms. The default 6,400 images take 10 s on two cores.

    Attributes:
        out: folder to create: `<out>/<identity>/<session>/<shot>.png`, grey, 128x128 px.
        prefix: prefix of the identities' names, such as p in p001.
    """

    out: Path
    prefix: str = "p"
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
        f"{config.sessions} sessions, in the {config.style} style.",
    )


def _write_identity(config: SynthesizeConfig, folder: Path, identity: int) -> None:
    """Draws one palm and writes all its images."""
    name = f"{config.prefix}{identity + 1:0{max(3, len(str(config.identities)))}}"
    for session, shots in enumerate(config.photograph(identity), start=1):
        target = folder / name / f"s{session}"
        target.mkdir(parents=True)
        for shot, image in enumerate(shots, start=1):
            # Not cv2.imwrite, which reports a full disk only by its return value.
            (target / f"{shot:02}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
