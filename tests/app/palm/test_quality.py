"""The measures of an image, against values worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm.decode import UnsuitableImage
from app.palm.quality import assess


def colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([grey] * 3, axis=2)


def halves(dark: int, bright: int) -> NDArray[np.uint8]:
    grey = np.full((224, 224), dark, np.uint8)
    grey[:, 112:] = bright
    return grey


def test_brightness_and_contrast_follow_their_formulas() -> None:
    found = assess(colour(halves(100, 140)))

    assert found.brightness == pytest.approx(120 / 255)
    assert found.contrast == pytest.approx(4 * 20 / 255)


def test_sharpness_is_ten_times_the_mean_gradient() -> None:
    ramp = np.tile(np.arange(224, dtype=np.uint8), (224, 1))

    assert assess(colour(ramp)).sharpness == pytest.approx(10 / 255)


def test_blur_lowers_the_sharpness() -> None:
    sharp = np.kron(np.indices((28, 28)).sum(axis=0) % 2, np.ones((8, 8))) * 40 + 100
    blurred = (sharp + np.roll(sharp, 2, 1) + np.roll(sharp, 4, 1) + np.roll(sharp, 6, 1)) / 4

    found = [assess(colour(p.astype(np.uint8))).sharpness for p in (sharp, blurred)]

    assert found[0] > found[1]


def test_every_measure_stays_between_0_and_1() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (224, 224), dtype=np.uint8) * 255

    found = assess(colour(noise))

    assert found.sharpness == 1
    assert found.contrast == 1
    assert 0 <= found.brightness <= 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_featureless_image_is_refused_with_its_values(level: int) -> None:
    with pytest.raises(UnsuitableImage, match=f"contrast 0.0000, brightness {level / 255:.2f}"):
        assess(colour(np.full((224, 224), level, np.uint8)))


def test_rounding_alone_is_featureless() -> None:
    with pytest.raises(UnsuitableImage):
        assess(colour(halves(127, 128)))


def test_a_faint_palm_is_accepted() -> None:
    assert assess(colour(halves(126, 130))).contrast > 0
