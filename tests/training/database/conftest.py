"""Small databases with the file names of the real ones."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HANDS = ("L", "R")

NAMES: dict[str, list[str]] = {
    "fyo": [
        f"Subject {p}/Session {s}/s{p}_1_{h}_S{s}.jpg"
        for p, h, s in product((1, 2, 3), HANDS, "12")
    ],
    "vera": [
        f"{p:03}-{g}/0{s}/{p:03}_{h}_{s}_{n}.png"
        for (p, g), h, s, n in product(((1, "M"), (2, "F"), (3, "F")), HANDS, "12", range(1, 6))
    ],
    "put": [
        f"{kind}_o{p:03}_{h}_S{s}_Nr{n}.bmp"
        for kind, p, h, s, n in product("PW", (1, 17, 50), HANDS, "123", range(1, 5))
    ],
    "casia": [
        f"{p:03}_{h.lower()}_{band}_{n:02}.jpg"
        for p, h, band, n in product((1, 2, 3), HANDS, ("460", "850", "940", "WHT"), range(1, 7))
    ],
    "polyu": [f"NIR/I_{p:04}_{n:02}.jpg" for p, n in product(range(1, 7), range(1, 13))],
    "tongji": [f"session{s}/{n:05}.bmp" for s, n in product("12", range(1, 61))],
}
"""Paths of six palms, by layout."""


@pytest.fixture
def touch(tmp_path: Path) -> Callable[[Sequence[str]], Path]:
    """Returns a function that writes empty files: an index reads names alone."""

    def write(paths: Sequence[str]) -> Path:
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return write


def write_image(path: Path, grey: int, side: int = 96) -> None:
    """Writes an image of one grey level, as RGB if its name ends in S2.

    A PNG has 16 bits in the file, of which 8 are used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side, 3) if path.stem.endswith("S2") else (side, side)
    is_png = path.suffix.lower() == ".png"
    Image.fromarray(np.full(shape, grey, np.uint16 if is_png else np.uint8)).save(path)
