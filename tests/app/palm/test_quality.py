"""The measures of a palm's square, against values worked out by hand, and what is refused."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm.errors import PoorQuality
from app.palm.hand import Hand, Region
from app.palm.quality import HAND_SCALES, Quality, assess
from app.palm.square import Square, square_below, whole_square
from benchmarks.quality import blur, compress
from training.synthetic.palms import photograph
from training.synthetic.styles import POLARIZED

Pixels = NDArray[np.uint8]


def measure(image: Pixels, certainty: float = 1.0) -> Quality:
    """Measures an image that is a region of interest."""
    region = Region("roi", whole_square(*image.shape), None, certainty)
    return assess(image, region, cv2.resize(image, (224, 224)), skin=1.0)


def halves(dark: int, bright: int, at: int = 112) -> Pixels:
    grey = np.full((224, 224), dark, np.uint8)
    grey[:, at:] = bright
    return grey


@pytest.fixture(scope="module")
def palm() -> Pixels:
    return photograph(3, seed=77, style=POLARIZED, sessions=1, shots=1)[0][0]


def test_a_good_image_has_a_high_score(palm: Pixels) -> None:
    assert measure(palm).score == 100


def test_brightness_saturation_and_size_follow_their_definitions() -> None:
    found = measure(halves(100, 252, at=168))
    assert found.brightness == pytest.approx((3 * 100 + 252) / 4 / 255)
    assert found.saturated == 0.25
    assert found.palm_px == 224


def test_the_veins_contrast_counts_grey_levels(palm: Pixels) -> None:
    faint = (palm / 2).astype(np.uint8)
    assert measure(faint).veins == pytest.approx(measure(palm).veins / 2, rel=0.05)
    assert measure(np.full((224, 224), 128, np.uint8)).veins == 0


def test_sharpness_falls_with_blur_and_with_enlargement_but_not_with_contrast(
    palm: Pixels,
) -> None:
    sharp = measure(palm).sharpness
    blurred = [measure(blur(palm, sigma)).sharpness for sigma in (2, 4, 8)]
    assert sharp > blurred[0] > blurred[1] > blurred[2]
    enlarged = cv2.resize(cv2.resize(palm, (12, 12), interpolation=cv2.INTER_AREA), (224, 224))
    assert measure(np.asarray(enlarged, np.uint8)).sharpness < HAND_SCALES["sharpness"].value_at(50)
    assert measure((palm / 2).astype(np.uint8)).sharpness == pytest.approx(sharp, abs=0.05)


def test_blocks_of_jpeg_are_seen_in_whatever_file(palm: Pixels) -> None:
    found = [measure(compress(palm, quality)).blocks for quality in (95, 30, 10, 3)]
    assert found == sorted(found)
    assert found[0] < 2
    assert found[2] > HAND_SCALES["blocks"].value_at(50)


def test_blocks_count_less_if_the_palm_is_large(palm: Pixels) -> None:
    large = np.asarray(cv2.resize(palm, (896, 896)), np.uint8)
    compressed = compress(large, 10)
    as_large = measure(compressed).blocks
    part = Region("roi", whole_square(224, 224), None, 1.0)
    alone = assess(compressed[:224, :224], part, compressed[:224, :224], skin=1.0)
    assert as_large < alone.blocks


def test_the_pose_and_the_skin_of_a_hand_are_reported() -> None:
    gaps = np.array([(100.0, 100), (120, 95), (160, 100)])
    square = square_below(gaps)
    hand = Hand(gaps, 0.83, square, "left", 0.9, np.ones((224, 224), np.uint8))
    image = np.zeros((400, 300), np.uint8)
    found = assess(image, Region("hand", square, hand, 0.9), image[:224, :224], skin=0.8)
    assert (found.pose, found.skin, found.palm) == (0.83, 0.8, 0.9)


def test_a_square_over_the_image_s_edge_is_measured() -> None:
    square = Square(np.array([(-50.0, -50), (50, -50), (50, 50), (-50, 50)]), 0.0, 100.0)
    image = np.zeros((120, 100), np.uint8)
    assert assess(image, Region("roi", square, None, 1.0), image[:100], skin=0.2).blocks == 1


@pytest.mark.parametrize(
    ("spoil", "component"),
    [
        (lambda x: blur(x, 12), "sharpness"),
        (lambda x: (x * 0.04).astype(np.uint8), "brightness"),
        (lambda x: (128 + (x - 128.0) / 20).astype(np.uint8), "veins"),
        (lambda x: np.clip(x * 2.6, 0, 255).astype(np.uint8), "saturated"),
        (lambda x: compress(x, 3), "blocks"),
        (lambda x: np.ascontiguousarray(x[::4, ::4]), "palm_px"),
    ],
)
def test_each_fault_is_refused_by_its_name_with_value_limit_and_advice(
    spoil: object, component: str, palm: Pixels
) -> None:
    assert callable(spoil)
    found = measure(spoil(palm))
    assert found.score < 50
    with pytest.raises(PoorQuality, match=f"the quality is {found.score} of 100, at least 60") as e:
        found.refuse_below(60)
    assert component in e.value.reasons
    form = {"palm_px": ".0f", "blocks": ".1f", "saturated": ".0%"}.get(component, ".2f")
    limit = HAND_SCALES[component].value_at(60)
    assert f" {limit:{form}}" in e.value.reasons[component]


def test_the_score_is_that_of_the_worst_component(palm: Pixels) -> None:
    assert measure(palm, certainty=0.375).score == 25
    scales = HAND_SCALES["sharpness"], HAND_SCALES["saturated"]
    assert [scales[0].score(v) for v in (0, 0.03, 0.14, 0.25, 0.9)] == [0, 0, 50, 100, 100]
    assert scales[1].score(0.7) == 0
    assert scales[1].score(0.0) == 100


def test_nothing_is_refused_at_0() -> None:
    measure(np.zeros((224, 224), np.uint8)).refuse_below(0)


@pytest.mark.parametrize(
    ("component", "value", "shown"),
    [
        ("palm_px", 63.7, "the palm is 63 px wide, 64 are needed"),
        ("sharpness", 0.1399, "sharpness 0.13, at least 0.14"),
        ("saturated", 0.2501, "26% is white, at most 25%"),
        ("blocks", 8.01, "blocks 8.1, at most 8.0"),
    ],
)
def test_a_value_just_below_its_limit_is_not_shown_as_the_limit(
    component: str, value: float, shown: str
) -> None:
    assert shown in HAND_SCALES[component].advise(value, 50)


@pytest.mark.parametrize("offset", [-300, 300])
def test_a_square_beside_the_image_is_measured(offset: int) -> None:
    corners = np.array([(0.0, 0), (100, 0), (100, 100), (0, 100)]) + offset
    image = np.zeros((120, 100), np.uint8)
    region = Region("roi", Square(corners, 0.0, 100.0), None, 1.0)
    assert assess(image, region, image[:100], skin=0.0).blocks == 1
