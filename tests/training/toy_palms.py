"""Toy databases: the names of the real ones, images on disk, and images without files."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from training.database.palms import Palms

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
"""Six palms in each."""


def write_image(path: Path, grey: int, side: int = 96) -> None:
    """An even image: 16 bits as PNG, RGB where the name ends in S2, else 8 bits of grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        Image.fromarray(np.full((side, side), 257 * grey, np.uint16)).save(path)
    else:
        shape = (side, side, 3) if path.stem.endswith("S2") else (side, side)
        Image.fromarray(np.full(shape, grey, np.uint8)).save(path)


def palms_of(images: ArrayLike, labels: ArrayLike, **fields: Any) -> Palms:
    """Images [N, H, W] that never were files, of one session unless `fields` say otherwise."""
    count = np.size(labels)
    palms = {
        "pixels": np.asarray(images).astype(np.uint8),
        "rows": np.arange(count),
        "labels": np.asarray(labels, np.int32),
        "sessions": np.zeros(count, np.int32),
        "hands": np.full(count, -1, np.int8),
        "shots": np.arange(count, dtype=np.int32),
        "identities": tuple(f"p{i:03}" for i in range(np.max(labels) + 1)),
        "session_names": ("s1",),
        "files": tuple(f"{i}.png" for i in range(count)),
        "sha256": "0" * 64,
    }
    return Palms(**palms | fields)


def make_palms(identities: int, sessions: int, shots: int, bands: int = 1) -> Palms:
    """Images of one pixel, whose value is their number: every shot of every session."""
    shape = (identities, max(sessions, 1), shots, bands)
    label, session, shot, _ = np.indices(shape).reshape(4, -1).astype(np.int32)
    return palms_of(
        np.arange(label.size).reshape(-1, 1, 1),
        label,
        sessions=session if sessions else np.full_like(session, -1),
        shots=shot,
        session_names=tuple(f"s{i + 1}" for i in range(sessions)),
        files=tuple(f"{a}/{b}/{c}-{d}" for a, b, c, d in np.ndindex(shape)),
    )
