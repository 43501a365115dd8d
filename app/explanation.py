"""Draws which veins of a probe agree with the subject that it was matched with."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from app.matching.maps import Floats, VeinMaps

SIDE_PX = 336
"""Side of the drawing."""

AGREES = np.array([0, 200, 83], np.float32)
DIFFERS = np.array([213, 0, 0], np.float32)
"""Red and green that differ in brightness too, for readers who do not tell them apart."""

BRIGHTEST_QUANTILE = 0.98
"""Share of the places that are darker than white; a reflection would darken all others."""

CHANCE = 0.5
"""Share of equal signs of two unrelated palms."""


def draw_explanation(probes: Sequence[VeinMaps], agreements: Sequence[Floats]) -> bytes:
    """Draws the probe's own maps, coloured where they agree with the match.

    Nothing of the template is drawn: its map would show the veins of an enrolled palm. Only the
    share of channels that agree at each place is used.

    Args:
        probes: for each net the map of one image.
        agreements: for each net float32 [S, S] from `app.matching.similarity.agreement`.

    Returns:
        A PNG of `SIDE_PX` x `SIDE_PX`: bright where the probe's map is strong, green where it
        agrees more than by chance, red where it agrees less, grey where nothing was compared.
    """
    strength = np.mean([_enlarged(np.abs(own.deviations[0]).mean(axis=-1)) for own in probes], 0)
    shares = np.stack([_enlarged(one) for one in agreements])
    compared = ~np.isnan(shares).all(axis=0)
    share = np.where(compared, np.nan_to_num(shares, nan=CHANCE).mean(axis=0), CHANCE)
    brightest = max(float(np.quantile(strength, BRIGHTEST_QUANTILE)), 1e-6)
    grey = np.clip(strength / brightest, 0, 1)[..., None] * 255
    colour = np.where((share > CHANCE)[..., None], AGREES, DIFFERS)
    weight = np.clip(2 * np.abs(share - CHANCE), 0, 1)[..., None]
    pixels = (1 - weight) * grey + weight * colour * (0.4 + 0.6 * grey / 255)
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _enlarged(grid: Floats) -> Floats:
    """Returns a grid [S, S] enlarged to [SIDE_PX, SIDE_PX] without smoothing."""
    rows = np.arange(SIDE_PX) * len(grid) // SIDE_PX
    return grid[rows[:, None], rows]
