"""Hands that are found by their outline, without a net."""

import cv2
import numpy as np
import pytest

from app.palm.hand import Hand, cut
from app.palm.outline_search import find_hand, locate
from app.palm.square import SIDE, cut_square, square_below, whole_square
from training.synthetic.hands import TUNING_HANDS, HandGeometry, draw_hand
from training.synthetic.palms import draw_identity, photograph
from training.synthetic.styles import STYLES

SEED = 31


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, HandGeometry, Hand | None]]:
    """Thirty drawn hands, and what was found in them."""
    palms = [draw_identity(SEED, number) for number in range(2)]
    hands = [draw_hand(SEED, number, TUNING_HANDS, palms[number % 2]) for number in range(30)]
    return [(image, truth, find_hand(image)) for image, truth in hands]


@pytest.fixture(scope="module")
def clear() -> tuple[np.ndarray, HandGeometry]:
    """A spread hand, grey, before a plain background."""
    palm = draw_identity(SEED, 0)
    for number in range(200):
        image, truth = draw_hand(SEED, number, TUNING_HANDS, palm)
        plain = truth.scene == "plain" and not truth.coloured and truth.spread > 0.4
        if plain and find_hand(image) is not None:
            return image, truth
    raise AssertionError("no clear hand among 200")


def test_most_hands_are_found_where_they_were_drawn(
    drawn: list[tuple[np.ndarray, HandGeometry, Hand | None]],
) -> None:
    errors = [
        float(np.hypot(*(hand.gaps - truth.gaps).T).max()) / truth.palm_width_px
        for _, truth, hand in drawn
        if hand is not None
    ]
    assert len(errors) >= 15
    assert max(errors) < 0.1
    assert float(np.median(errors)) < 0.03


def test_left_and_right_are_told_apart(
    drawn: list[tuple[np.ndarray, HandGeometry, Hand | None]],
) -> None:
    answers = [hand.hand == truth.hand for _, truth, hand in drawn if hand is not None]
    assert np.mean(answers) > 0.8


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_gives_the_turned_gaps(
    turns: int, clear: tuple[np.ndarray, HandGeometry]
) -> None:
    image, _ = clear
    turned = np.ascontiguousarray(np.rot90(image, turns))
    straight, found = find_hand(image), find_hand(turned)
    assert straight is not None
    assert found is not None
    expected = straight.gaps
    height, width = image.shape
    for _ in range(turns):
        expected = np.stack([expected[:, 1], width - 1 - expected[:, 0]], axis=1)
        height, width = width, height
    assert found.gaps == pytest.approx(expected, abs=0.02 * straight.square.side_px)
    assert found.hand == straight.hand


def test_a_mirrored_image_shows_the_other_hand(clear: tuple[np.ndarray, HandGeometry]) -> None:
    image, truth = clear
    found = find_hand(np.ascontiguousarray(image[:, ::-1]))
    assert found is not None
    assert found.hand == {"left": "right", "right": "left"}[truth.hand]


def test_the_cut_palm_is_the_drawn_one(clear: tuple[np.ndarray, HandGeometry]) -> None:
    image, truth = clear
    hand = find_hand(image)
    assert hand is not None
    found, skin = cut(image, hand, 96)
    right = cut_square(image, square_below(truth.gaps), 96)
    middle = cv2.GaussianBlur(right, (0, 0), 1.5)[12:-12, 12:-12]
    likeness = cv2.matchTemplate(
        cv2.GaussianBlur(found, (0, 0), 1.5), middle, cv2.TM_CCOEFF_NORMED
    ).max()
    assert likeness > 0.8
    assert skin.mean() > 0.9


def test_pixels_beyond_the_image_are_not_on_the_hand(
    clear: tuple[np.ndarray, HandGeometry],
) -> None:
    image, _ = clear
    hand = find_hand(image)
    assert hand is not None
    corner = square_below(hand.gaps - hand.square.corners[0] - hand.square.side_px / 2)
    moved = Hand(hand.gaps, corner, hand.hand, hand.certainty, np.ones_like(hand.outline))
    _, skin = cut(image, moved, 64)
    assert 0.05 < skin.mean() < 0.6


@pytest.mark.parametrize("style", STYLES)
def test_a_drawn_crop_is_left_as_it_is(style: str) -> None:
    for number in range(4):
        crop = photograph(number, seed=SEED, style=STYLES[style], sessions=1, shots=1)[0][0]
        region = locate(crop)
        assert region is not None
        assert region.kind == "crop"
        assert (cut_square(crop, region.square, crop.shape[0]) == crop).all()


def test_a_scene_without_a_hand_is_refused() -> None:
    rng = np.random.default_rng(0)
    image = np.full((240, 320), 20, np.uint8)
    for _ in range(12):
        corners = rng.integers(0, 320, (4, 2)).astype(np.int32)
        cv2.fillConvexPoly(image, corners, int(rng.integers(60, 255)))
    assert locate(image) is None


def test_a_uniform_image_shows_no_hand() -> None:
    assert find_hand(np.full((200, 300, 3), 90, np.uint8)) is None


def test_the_square_hangs_below_the_gaps_and_turns_with_them() -> None:
    square = square_below(np.array([(100, 50), (120, 45), (140, 50)]))
    assert square.rotation_deg == 0
    assert square.side_px == pytest.approx(40 * SIDE)
    assert square.corners[:, 0].mean() == pytest.approx(120)
    assert square.corners[:, 1].min() > 50
    turned = square_below(np.array([(50, 100), (55, 120), (50, 140)]))
    assert turned.rotation_deg == 90
    assert turned.corners[:, 0].max() < 50


def test_equal_outer_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="must differ"):
        square_below(np.zeros((3, 2)))


def test_the_whole_square_keeps_a_square_image() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 40), np.uint8)
    assert (cut_square(image, whole_square(40, 40), 40) == image).all()
