"""The square below three finger gaps, of upright and of tilted palms."""

import cv2
import numpy as np
import pytest

from app.palm.finder import Finder
from app.palm.hand import find_hand
from app.palm.square import BELOW, SIDE, pose_of, square_below
from tests.app.palm.test_hand import spots
from tests.app.palm.toy_net import SIDE as VIEW_PX
from tests.app.palm.toy_net import read_spots

GAPS = np.array([(100.0, 200), (118, 196), (138, 200)])
MIDDLE = np.array([119, 200 + 38 * (BELOW + SIDE / 2)])

LOOKS = {
    "narrower": ([[0.8, 0], [0, 1]], 0.8),
    "shorter": ([[1, 0], [0, 0.7]], 0.7),
    "turned": ([[0.6, -0.8], [0.8, 0.6]], 1.0),
    "larger": ([[3, 0], [0, 3]], 1.0),
    "slanting": ([[0.9, 0.2], [0.1, 0.95]], None),
}
"""How a palm may look, and its pose."""


@pytest.mark.parametrize("name", LOOKS)
def test_the_square_looks_as_the_palm_does(name: str) -> None:
    matrix = np.array(LOOKS[name][0], float)
    found = square_below(GAPS @ matrix.T, matrix @ MIDDLE).corners
    assert found == pytest.approx(square_below(GAPS).corners @ matrix.T)


@pytest.mark.parametrize("name", ["narrower", "shorter", "turned", "larger"])
def test_the_pose_is_how_much_narrower_or_shorter_a_palm_looks(name: str) -> None:
    matrix, pose = np.array(LOOKS[name][0], float), LOOKS[name][1]
    assert pose_of(GAPS @ matrix.T, matrix @ MIDDLE) == pytest.approx(pose)


@pytest.mark.parametrize(("narrower", "tilted"), [(0.7, True), (0.95, False)])
def test_only_a_palm_that_is_clearly_tilted_is_stretched(narrower: float, tilted: bool) -> None:
    image, _ = spots((640, 480), (320, 180), 110, 0)
    finder = Finder(read_spots, VIEW_PX, least_certainty=0)
    seen = cv2.resize(image, (round(640 * narrower), 480), interpolation=cv2.INTER_NEAREST)
    upright, hand = (find_hand(np.asarray(one, np.uint8), finder) for one in (image, seen))
    assert upright
    assert hand
    assert hand.pose == pytest.approx(narrower, abs=0.02)
    stretched = upright.square.corners * [narrower, 1]
    expected = stretched if tilted else square_below(hand.gaps).corners
    assert hand.square.corners == pytest.approx(expected, abs=3)
