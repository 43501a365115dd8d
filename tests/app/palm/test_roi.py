"""The square that the nets see."""

import numpy as np
import pytest

from app.palm.roi import prepare, vein_channel


def test_the_red_channel_of_an_image_of_the_wanted_size_keeps_its_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)

    np.testing.assert_array_equal(prepare(image, 224), image[..., [0, 0, 0]])


def test_of_an_image_in_shades_of_green_or_blue_that_channel_counts() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for channel in range(3):
        other = [one for one in range(3) if one != channel]
        shades = image.copy()
        shades[..., other] //= 4
        np.testing.assert_array_equal(vein_channel(shades), image[..., channel])


def test_red_counts_before_a_background_of_another_colour() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[...] = (20, 60, 230)  # blue cloth
    image[10:35, 8:32] = (200, 150, 120)  # skin on two fifths
    np.testing.assert_array_equal(vein_channel(image), image[..., 0])


def test_grey_fills_the_three_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)

    np.testing.assert_array_equal(prepare(grey, 32), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("shape", [(32, 52), (52, 32)])
def test_the_largest_centred_square_is_cut(shape: tuple[int, int]) -> None:
    image = np.full(shape, 9, np.uint8)
    centre = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    top, left = (shape[0] - 32) // 2, (shape[1] - 32) // 2
    image[top : top + 32, left : left + 32] = centre

    np.testing.assert_array_equal(prepare(image, 32)[..., 0], centre)


def test_shrinking_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))

    inner = prepare(stripes, 32)[4:-4, 4:-4]

    np.testing.assert_allclose(inner, 127.5, atol=1)


@pytest.mark.parametrize("side", [100, 224, 600])
def test_any_size_becomes_the_wanted_one(side: int) -> None:
    found = prepare(np.zeros((side, side + 7), np.uint8), 48)

    assert found.shape == (48, 48, 3)
    assert found.dtype == np.uint8
