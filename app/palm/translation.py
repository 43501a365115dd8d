"""The search for how a palm lies: every picture is compared as it is and a little moved.

A region of interest is never cut out at quite the same place twice. As D. Zhang, W.-K. Kong,
J. You and M. Wong, "Online palmprint identification", IEEE TPAMI 25 (2003), do with coded palms,
two pictures are as alike as the best pair of their moved copies. docs/pretraining.md has what that
is worth.
"""

import numpy as np
from numpy.typing import NDArray

MOVES = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Down and right, in steps: where it is, and to the four corners; so two copies are up to two steps
apart. Nets are calibrated for these: with others all nets must be exported again, under another
schema_version."""

STEP = 0.04
"""One step, as a share of the picture's side; what is said of `MOVES` holds for it, too."""

PAIRS_AT_ONCE = 1 << 24
"""Cosines in a block: 64 MiB."""

Floats = NDArray[np.float32]


def translate(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Moves every picture by each of `MOVES`; what comes in at the edges mirrors the picture.

    Args:
        images: uint8 [B, H, H, 3].

    Returns:
        uint8 [B, M, H, H, 3], M moves; the first is the picture itself.
    """
    side = images.shape[1]
    step = round(STEP * side)
    padded = np.pad(images, ((0, 0), (step, step), (step, step), (0, 0)), mode="reflect")
    return np.stack(
        [
            padded[:, (1 - down) * step :, (1 - right) * step :][:, :side, :side]
            for down, right in MOVES
        ],
        axis=1,
    )


def best_similarities(probes: Floats, templates: Floats) -> Floats:
    """How alike probes and templates are: the best cosine of any two of their moved copies.

    Args:
        probes: float32 [P, M, D], embeddings of unit length.
        templates: float32 [T, M, D], the same.

    Returns:
        float32 [P, T] in [-1, 1].
    """
    moves, size = templates.shape[1:]
    columns = templates.reshape(-1, size).T
    found = np.empty((len(probes), len(templates)), np.float32)
    step = max(PAIRS_AT_ONCE // max(moves * columns.shape[1], 1), 1)
    for start in range(0, len(probes), step):
        some = probes[start : start + step]
        cosines = some.reshape(-1, size) @ columns
        pairs = cosines.reshape(len(some), moves, len(templates), moves)
        found[start : start + step] = pairs.max(axis=(1, 3))
    return found
