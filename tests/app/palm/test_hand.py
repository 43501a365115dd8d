"""Hands in photographs, found by a landmark net that reads spots instead of fingers."""

import cv2
import numpy as np
import pytest

from app.palm.errors import PalmNotFound
from app.palm.finder import PALM_WIDTH, Finder
from app.palm.hand import cut, find_hand, locate
from app.palm.landmarks import Run
from app.palm.square import BELOW, SIDE, square_below
from tests.app.palm.toy_net import LEVELS, read_spots
from tests.app.palm.toy_net import SIDE as VIEW_PX


def spots(
    size: tuple[int, int], middle: tuple[float, float], distance: float, turn_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the four landmarks of a hand as spots; returns the image and the gaps [3, 2]."""
    angle = np.radians(turn_deg)
    right = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-right[1], right[0]])
    centre = np.array(middle)
    half = distance / 2
    gaps = np.array([centre - half * right, centre - 0.05 * distance * down, centre + half * right])
    points = [*gaps, centre + (BELOW + SIDE / 2) * distance * down]
    image = np.zeros((size[1], size[0]), np.uint8)
    for point, level in zip(points, LEVELS, strict=True):
        place = np.rint(point * 16).astype(int).tolist()
        cv2.circle(image, place, round(0.18 * distance * 16), level, -1, cv2.LINE_8, 4)
    return image, gaps


@pytest.fixture
def finder() -> Finder:
    return Finder(read_spots, VIEW_PX, least_certainty=0.5)


@pytest.mark.parametrize("turn_deg", [0, 37, 90, 163, -90, -128])
@pytest.mark.parametrize(
    ("size", "middle", "distance"),
    [((320, 240), (150, 110), 50), ((768, 576), (420, 260), 110), ((360, 540), (180, 270), 90)],
)
def test_gaps_come_back_to_the_image_s_pixels(
    size: tuple[int, int],
    middle: tuple[float, float],
    distance: float,
    turn_deg: float,
    finder: Finder,
) -> None:
    image, gaps = spots(size, middle, distance, turn_deg)
    hand = find_hand(image, finder)
    assert hand is not None
    assert hand.gaps == pytest.approx(gaps, abs=0.02 * distance)
    assert hand.square.rotation_deg == pytest.approx(turn_deg, abs=1)
    assert hand.square.side_px == pytest.approx(SIDE * distance, rel=0.02)
    assert hand.certainty > 0.8


def test_the_closer_look_is_more_exact_than_the_first(finder: Finder) -> None:
    image, gaps = spots((1000, 750), (480, 320), 160, 20)
    whole = finder.glance(image)
    looks = whole, finder.search(image, whole).last
    first, last = (np.hypot(*(look.points[:3] - gaps).T).max() for look in looks)
    assert last < first
    assert last < 0.01 * PALM_WIDTH * 160


def test_looks_that_disagree_are_refused(finder: Finder) -> None:
    calls: list[int] = []

    def wander(views: np.ndarray) -> dict[str, np.ndarray]:
        calls.append(1)
        outputs = dict(read_spots(views))
        outputs["landmarks"] = np.roll(outputs["landmarks"], 5 * (len(calls) % 2), axis=1)
        return outputs

    image, _ = spots((320, 240), (150, 110), 50, 0)
    assert find_hand(image, Finder(wander, VIEW_PX, 0.5)) is None
    assert len(calls) == 4  # no more looks than that


def test_a_flat_answer_is_refused() -> None:
    def flat(views: np.ndarray) -> dict[str, np.ndarray]:
        outputs = dict(read_spots(views))
        return outputs | {"landmarks": 0.001 * outputs["landmarks"]}

    image, _ = spots((320, 240), (150, 110), 50, 0)
    with pytest.raises(PalmNotFound, match=r"certainty 0\.\d\d, at least 0\.50 is needed"):
        locate(image, Finder(flat, VIEW_PX, 0.5))


def test_an_image_without_a_hand_is_refused_after_one_look() -> None:
    calls: list[int] = []

    def count(views: np.ndarray) -> object:
        calls.append(1)
        return read_spots(views)

    run: Run = count  # type: ignore[assignment]
    with pytest.raises(PalmNotFound):
        locate(np.zeros((200, 300, 3), np.uint8), Finder(run, VIEW_PX, 0.5))
    assert len(calls) == 1


def test_a_crop_is_left_as_it_is() -> None:
    def crop(views: np.ndarray) -> dict[str, np.ndarray]:
        return dict(read_spots(views)) | {"kind": np.array([[0.01, 0.98, 0.01]], np.float32)}

    region = locate(np.full((128, 128), 90, np.uint8), Finder(crop, VIEW_PX, 0.5))
    assert (region.capture, region.hand) == ("roi", None)
    assert region.square.side_px == 128


def test_colours_are_found_as_grey(finder: Finder) -> None:
    image, _ = spots((320, 240), (150, 110), 50, 0)
    grey, coloured = (find_hand(x, finder) for x in (image, np.stack([image] * 3, axis=2)))
    assert grey is not None
    assert coloured is not None
    assert coloured.gaps == pytest.approx(grey.gaps)


@pytest.mark.parametrize(("left", "hand"), [(0.9, "left"), (0.2, "right"), (0.45, None)])
def test_left_and_right_are_told_unless_about_even(left: float, hand: str | None) -> None:
    def told(views: np.ndarray) -> dict[str, np.ndarray]:
        return dict(read_spots(views)) | {"left": np.array([left], np.float32)}

    image, _ = spots((320, 240), (150, 110), 50, 0)
    found = find_hand(image, Finder(told, VIEW_PX, 0.5))
    assert found is not None
    assert found.hand == hand


@pytest.mark.parametrize("turn_deg", [0, 60, 180])
def test_the_skin_lies_where_the_net_saw_it(turn_deg: float, finder: Finder) -> None:
    image, gaps = spots((640, 480), (320, 240), 110, turn_deg)
    hand = find_hand(image, finder)
    assert hand is not None
    square, skin = cut(image, hand, 64)
    assert square.shape == skin.shape == (64, 64)
    assert skin[30:34, 30:34].all()  # the palm's spot
    assert 0.02 < skin.mean() < 0.2
    assert hand.square.corners == pytest.approx(square_below(gaps).corners, abs=3)


def test_pixels_beyond_the_image_are_not_on_the_hand(finder: Finder) -> None:
    image, _ = spots((320, 240), (150, 130), 70, 0)  # the square ends below the image
    hand = find_hand(image, finder)
    assert hand is not None
    _, skin = cut(image, hand, 64)
    beyond = (hand.square.corners[2, 1] - 239.5) / hand.square.side_px
    assert beyond > 0
    assert not skin[-int(64 * beyond) :].any()
