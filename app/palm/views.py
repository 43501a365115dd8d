"""Test-time augmentation: the views of an image that a net embeds.

Each probe is embedded upright and mirrored, and the two similarities are averaged, as for faces:
W. Liu et al., "SphereFace", CVPR 2017. Each template is embedded upright and mirrored at several
positions, because no two regions of interest are cut out at exactly the same place. The similarity
at the best position counts: D. Zhang, W.-K. Kong, J. You and M. Wong, "Online palmprint
identification", IEEE TPAMI 25 (2003). docs/pretraining.md measures both.
"""

import numpy as np
from numpy.typing import NDArray

MOVES = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""A template's positions, down and right in steps: unmoved, and towards the four corners. The nets
are calibrated for these. Others need every net exported again, under another schema_version."""

STEP = 0.04
"""One step, as a share of the image's side. The nets are calibrated for it, as for `MOVES`."""

TEMPLATE_VIEWS = (2, len(MOVES))
"""Views of a template: upright and mirrored, at each of `MOVES`."""

Images = NDArray[np.uint8]
Moves = tuple[tuple[int, int], ...]


def probe_views(images: Images) -> Images:
    """Returns every image upright and mirrored: uint8 [B, 2, H, H, 3] of [B, H, H, 3]."""
    return np.stack([images, images[:, :, ::-1]], axis=1)


def template_views(images: Images, moves: Moves = MOVES) -> Images:
    """Returns every image at each position, upright and mirrored.

    Where a move leaves an edge without pixels, the image is continued by reflection.

    Args:
        images: uint8 [B, H, H, 3].
        moves: M positions, the first of them (0, 0); others than `MOVES` only for measurements.

    Returns:
        uint8 [B, 2, M, H, H, 3]; [:, :, 0] equals `probe_views(images)`.
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
