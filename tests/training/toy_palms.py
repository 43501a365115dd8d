"""Toy palms, which never were files, and a toy net for those of one pixel."""

from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from training.database.palms import Palms
from training.nets.layers import CosineClassifier


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


def pixel_net(kernel: tuple[float, float] = (1.0, 0.0)) -> keras.Model:
    """Returns a net from an image of one pixel x, 0 to 1, to a point on a circle.

    The point has the direction of x * kernel + (0, 0.3); there are three random prototypes. The map
    has one place, with the point's coordinates as its channels.
    """
    images = keras.Input((1, 1, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 255, name="rescaled")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(2, name="dense")(x)
    embedding = keras.layers.UnitNormalization(name="embedding")(x)
    similarity = CosineClassifier(3, name="similarity")(embedding)
    outputs = {"embedding": embedding, "similarity": similarity}
    outputs["map"] = keras.layers.Reshape((1, 1, 2), name="map")(embedding)
    net = keras.Model(images, outputs)
    weights = np.array([kernel, (0, 0), (0, 0)], np.float32)
    net.get_layer("dense").set_weights([weights, np.array([0, 0.3], np.float32)])
    return net
