"""Draws strangers: synthetic palms that no net is trained on, for monitoring a training."""

import numpy as np
from tqdm import tqdm

from training.database.palms import Palms
from training.synthetic.pairs import resize
from training.synthetic.palms import photograph
from training.synthetic.styles import Style


def draw_strangers(
    count: int,
    seed: int,
    style: Style,
    *,
    sessions: int = 2,
    shots: int = 2,
    side_px: int,
    cameras: int = 0,
) -> Palms:
    """Draws and photographs palms in memory.

    Args:
        count: number of palms.
        seed: seed of the palms; must differ from the seed of the training's palms.
        style: family of the cameras.
        sessions: sessions of each palm.
        shots: images in each session.
        side_px: side of the images.
        cameras: number of cameras; see `PalmOptions`.

    Returns:
        The images, ordered by identity, session and shot.
    """
    images = [
        resize(image, side_px)
        for identity in tqdm(range(count), "drawing strangers", delay=2)
        for session in photograph(
            identity, seed=seed, style=style, sessions=sessions, shots=shots, cameras=cameras
        )
        for image in session
    ]
    shape = (count, sessions, shots)
    labels, session, shot = np.indices(shape).reshape(3, -1).astype(np.int32)
    return Palms(
        pixels=np.stack(images),
        rows=np.arange(len(images)),
        labels=labels,
        sessions=session,
        hands=np.full(len(images), -1, np.int8),
        shots=shot,
        identities=tuple(f"stranger {i}" for i in range(count)),
        session_names=tuple(f"s{s + 1}" for s in range(sessions)),
        files=tuple(f"stranger {i}, s{s + 1}, {n}" for i, s, n in np.ndindex(shape)),
        sha256="",
    )
