"""What nets are shown of a picture, and how alike that makes two pictures: test-time augmentation.

A probe is shown as it lies and flipped, left to right: a mirrored palm is another palm to a net,
one that it tells from others as well, so that two views err less than one. W. Liu et al.,
"SphereFace", CVPR 2017, so compare faces. A template is shown so, too, and each view a little
moved, because a region of interest is never cut out at quite the same place twice: as D. Zhang,
W.-K. Kong, J. You and M. Wong, "Online palmprint identification", IEEE TPAMI 25 (2003), do with
coded palms, the move that fits best counts. docs/pretraining.md has what either is worth.
"""

import numpy as np
from numpy.typing import NDArray

MOVES = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Down and right, in steps: where it is, and to the four corners. Nets are calibrated for these:
with others all nets must be exported again, under another schema_version."""

STEP = 0.04
"""One step, as a share of the picture's side; what is said of `MOVES` holds for it, too."""

TEMPLATE_VIEWS = (2, len(MOVES))
"""Of a template: moved by each of `MOVES`, as it lies and mirrored."""

Images = NDArray[np.uint8]
Moves = tuple[tuple[int, int], ...]


def probe_views(images: Images) -> Images:
    """Every picture as it lies and mirrored: uint8 [B, 2, H, H, 3] of [B, H, H, 3]."""
    return np.stack([images, images[:, :, ::-1]], axis=1)


def template_views(images: Images, moves: Moves = MOVES) -> Images:
    """Every picture moved by each of the moves, and the mirror images of all of these.

    What comes in at the edges mirrors the picture.

    Args:
        images: uint8 [B, H, H, 3].
        moves: M, the first of them (0, 0); others than `MOVES` for measurements alone.

    Returns:
        uint8 [B, 2, M, H, H, 3]; [:, :, 0] is what `probe_views` has.
    """
    side = images.shape[1]
    step = round(STEP * side)
    rim = step * max(abs(way) for move in moves for way in move)
    padded = np.pad(images, ((0, 0), (rim, rim), (rim, rim), (0, 0)), mode="reflect")
    moved = [
        padded[:, rim - down * step :, rim - right * step :][:, :side, :side]
        for down, right in moves
    ]
    return np.stack([probe_views(copy) for copy in moved], axis=2)
