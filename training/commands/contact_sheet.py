"""Draws a sheet of synthetic palms, on which sessions and palms can be compared by eye."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.fit.verdict import Verdict
from training.report.files import replacing
from training.synthetic.palms import PalmOptions

GAP_PX = 4
"""White space between images; it is twice as wide between sessions."""


@dataclass(frozen=True, kw_only=True)
class ContactSheetConfig(PalmOptions):
    """Draws a sheet of synthetic palms: a row for each palm, its sessions side by side. Takes 1 s.

    The palms are the first ones that `synthesize` draws with the same seed and style.

    Attributes:
        out: PNG file to write; an existing file is replaced.
    """

    out: Path
    identities: int = 8
    sessions: int = 3
    shots: int = 3


def contact_sheet(config: ContactSheetConfig) -> Verdict:
    """Writes the sheet, whole or not at all.

    Raises:
        ValueError: if an option is out of range, or `out` does not end in .png.
    """
    config.require_valid()
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"--out {config.out} must end in .png")
    rows = [_row(config.photograph(i)) for i in tqdm(range(config.identities), "palms")]
    with replacing(config.out) as file:
        file.write_bytes(cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return Verdict(
        config.out,
        f"a row for each of {config.identities} synthetic palms, with {config.sessions} groups "
        f"(sessions) of {config.shots} images, in the {config.style} style.",
    )


def _row(sessions: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Places a palm's images side by side, uint8 [H, W]."""
    groups = [np.concatenate([_framed(image) for image in shots], axis=1) for shots in sessions]
    return np.concatenate([_framed(group) for group in groups], axis=1)


def _framed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(image, GAP_PX // 2, constant_values=255)
