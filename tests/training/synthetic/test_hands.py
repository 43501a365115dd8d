"""Drawn photographs of whole hands."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from app.palm.square import cut_square, square_below
from training.synthetic.hands import (
    JUDGE_HANDS,
    PALM_MIDDLE_MM,
    TUNING_HANDS,
    HandStyle,
    draw_hand,
)
from training.synthetic.palms import draw_identity
from training.synthetic.scenes import JUDGE, TUNING
from training.synthetic.silhouette import GAP_DISTANCE_MM, draw_silhouette


@pytest.fixture(scope="module")
def palm() -> np.ndarray:
    return draw_identity(3, 0)


def test_equal_numbers_draw_equal_hands_and_others_differ(palm: np.ndarray) -> None:
    first, again, other = (draw_hand(3, number, TUNING_HANDS, palm)[0] for number in (5, 5, 6))
    assert (first == again).all()
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize("style", [TUNING_HANDS, JUDGE_HANDS])
def test_palm_and_gaps_lie_inside_every_image(style: HandStyle, palm: np.ndarray) -> None:
    for number in range(12):
        image, truth = draw_hand(4, number, style, palm)
        size = np.array(image.shape[1::-1])
        assert image.dtype == np.uint8
        assert image.ndim == (3 if truth.coloured else 2)
        for points in (truth.gaps, truth.middle):
            assert ((points > -1) & (points < size)).all()


def test_the_square_is_that_of_the_gaps_and_the_middle(palm: np.ndarray) -> None:
    _, truth = draw_hand(4, 1, TUNING_HANDS, palm)
    square = square_below(truth.gaps, truth.middle)
    assert truth.corners == pytest.approx(square.corners)
    assert truth.rotation_deg == pytest.approx(square.rotation_deg)


def test_the_square_of_a_palm_that_faces_the_camera_has_equal_sides(palm: np.ndarray) -> None:
    for number in range(6):
        _, truth = draw_hand(4, number, replace(JUDGE_HANDS, tilt_deg=(0.0, 0.0)), palm)
        assert truth.corners == pytest.approx(square_below(truth.gaps).corners, abs=0.01)


@pytest.mark.parametrize("tilt_deg", [30.0, 60.0])
def test_a_tilted_palm_looks_shorter_or_narrower(palm: np.ndarray, tilt_deg: float) -> None:
    ratios = []
    for number in range(30):
        style = replace(JUDGE_HANDS, tilt_deg=(tilt_deg, tilt_deg))
        _, truth = draw_hand(4, number, style, palm)
        assert truth.tilt_deg == tilt_deg
        width = np.hypot(*(truth.gaps[2] - truth.gaps[0]))
        length = np.hypot(*(truth.middle - (truth.gaps[0] + truth.gaps[2]) / 2))
        ratios.append(length / width * GAP_DISTANCE_MM / PALM_MIDDLE_MM[1])
    # Turned about the fingers' axis the palm is narrower by the cosine, about the other shorter.
    cosine = np.cos(np.radians(tilt_deg))
    assert min(ratios) == pytest.approx(cosine, rel=0.15)
    assert max(ratios) == pytest.approx(1 / cosine, rel=0.15)


def test_a_palm_with_its_thumb_on_the_other_side_is_the_other_hand(palm: np.ndarray) -> None:
    _, truth = draw_hand(4, 2, TUNING_HANDS, palm)
    _, mirrored = draw_hand(4, 2, TUNING_HANDS, np.ascontiguousarray(palm[:, :, ::-1]))
    assert {truth.hand, mirrored.hand} == {"left", "right"}


def test_the_square_shows_the_palm_s_canvas_as_a_drawn_crop_does(palm: np.ndarray) -> None:
    layers = np.full_like(palm, 0)
    layers[[4, 6]] = 128
    layers[5], layers[7] = palm[5], palm[7]
    middle = palm[5, 24:152, 24:152]  # what an image of a palm shows at zoom 1
    likeness = []
    for number in range(6):
        image, truth = draw_hand(4, number, TUNING_HANDS, layers)
        grey = image.mean(axis=2).astype(np.uint8) if truth.coloured else image
        square = cut_square(grey, square_below(truth.gaps, truth.middle), 128)
        here, there = (fine_structure(x) for x in (square, middle))
        likeness.append(np.corrcoef(here, there)[0, 1])
    assert np.mean(likeness) < -0.3  # veins are dark


def fine_structure(image: np.ndarray) -> np.ndarray:
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2)
    return (soft - cv2.GaussianBlur(soft, (0, 0), 8)).ravel()


def test_the_outer_gaps_of_a_silhouette_lie_on_the_axis() -> None:
    silhouette = draw_silhouette(np.random.default_rng(0), spread=0.5, sleeve=False)
    assert silhouette.gaps[[0, 2], 1] == pytest.approx([0, 0])
    assert np.ptp(silhouette.gaps[:, 0]) == pytest.approx(GAP_DISTANCE_MM)
    assert silhouette.sleeve is None


def test_spread_fingers_reach_farther_apart() -> None:
    widths = [
        np.ptp(np.concatenate(draw_silhouette(np.random.default_rng(1), s, False).skin[2:6])[:, 0])
        for s in (0.0, 1.0)
    ]
    assert widths[1] > widths[0] + 30


def test_the_two_families_share_no_background() -> None:
    assert not set(TUNING) & set(JUDGE)


@pytest.mark.parametrize("scene", sorted({*TUNING, *JUDGE}, key=lambda scene: scene.__name__))
def test_a_background_is_a_finite_image_of_the_wanted_size(scene: object) -> None:
    assert callable(scene)
    image = scene(np.random.default_rng(0), (60, 80), np.array([0.4, 0.3, 0.2]))
    assert image.shape == (60, 80, 3)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
