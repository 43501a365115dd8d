"""Toy palms: images that never were files."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from training.database.palms import Palms


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
