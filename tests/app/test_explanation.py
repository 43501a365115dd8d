"""The drawing that shows which veins agree with a match."""

from io import BytesIO

import numpy as np
from PIL import Image

from app.explanation import SIDE_PX, draw_explanation
from app.matching.maps import VeinMaps


def test_agreeing_places_are_green_differing_ones_red_and_others_grey() -> None:
    strength = np.ones((1, 8, 8, 4), np.float32)
    strength[0, 7] = 0.1
    probe = VeinMaps.of(strength, np.ones((1, 8, 8), np.float32))
    agreement = np.full((8, 8), np.nan, np.float32)
    agreement[0], agreement[1], agreement[2] = 1, 0, 0.5

    drawn = draw_explanation([probe, probe], [agreement, agreement])

    pixels = np.asarray(Image.open(BytesIO(drawn))).astype(int)
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    cell = SIDE_PX // 8
    red, green, _ = pixels[cell // 2, cell // 2]
    assert green > red + 100
    red, green, _ = pixels[cell + cell // 2, cell // 2]
    assert red > green + 100
    for row in (2, 5):  # by chance, and not compared
        assert np.ptp(pixels[row * cell + cell // 2, cell // 2]) == 0
    assert pixels[-cell // 2, 0].max() < pixels[5 * cell, 0].max()
