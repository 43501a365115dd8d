"""A image of synthetic palms to look at: do two of one person look alike, and of two not?"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.commands.synthesize import SynthesisConfig, photograph

GAP_PX = 4
"""White space between images; three times as much between visits."""


@dataclass(frozen=True)
class ContactSheetConfig(SynthesisConfig):
    """What `python -m training contact-sheet` draws: a row for each palm, its visits side by side.

    The palms are the first of what `synthesize` writes with the same seed and style.

    Attributes:
        out: PNG file to write.
        identities: rows.
    """

    identities: int = 8
    sessions: int = 3
    shots: int = 3


def draw_contact_sheet(config: ContactSheetConfig) -> Path:
    """Writes the sheet.

    Raises:
        ValueError: if a count is below 1, or `out` is no PNG file.
    """
    if min(config.identities, config.sessions, config.shots) < 1:
        raise ValueError(f"identities, sessions and shots must be at least 1, not {config}")
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"--out {config.out} must end in .png")
    rows: list[np.ndarray] = []
    for identity in range(config.identities):
        visits = [np.concatenate([_framed(s, GAP_PX) for s in shots], axis=1)
                  for shots in photograph(config, identity)]  # fmt: skip
        rows.append(np.concatenate([_framed(visit, GAP_PX) for visit in visits], axis=1))
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_bytes(cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return config.out


def _framed(image: np.ndarray, gap_px: int) -> np.ndarray:
    return np.pad(image, gap_px // 2, constant_values=255)
