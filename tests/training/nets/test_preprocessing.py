import keras
import numpy as np
import pytest

from training.nets.preprocessing import contrast_shrink, preprocess


def see(images: np.ndarray, kind: str, contrast_px: int = 32) -> np.ndarray:
    """What the first convolution sees of those images."""
    inputs = keras.Input(images.shape[1:], dtype="uint8")
    return np.asarray(keras.Model(inputs, preprocess(inputs, kind, contrast_px))(images))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(60, 124, (3, 64, 64, 3), np.uint8)


def test_raw_input_is_unchanged_and_rescaled_input_lies_between_0_and_1(images: np.ndarray) -> None:
    np.testing.assert_array_equal(see(images, "raw"), images)
    np.testing.assert_allclose(see(images, "rescaled"), images / 255, atol=1e-6)


def test_standardized_input_has_mean_0_and_deviation_1_in_every_image(images: np.ndarray) -> None:
    seen = see(images, "standardized")
    np.testing.assert_allclose(seen.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=(1, 2, 3)), 1, atol=1e-4)


def test_imagenet_input_is_what_keras_itself_feeds_vgg(images: np.ndarray) -> None:
    expected = keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(see(images, "imagenet"), expected, atol=1e-3)


def test_contrast_input_is_one_channel_shrunk_by_a_whole_number(images: np.ndarray) -> None:
    assert see(images, "contrast", contrast_px=32).shape == (3, 32, 32, 1)
    assert see(images, "contrast", contrast_px=20).shape == (3, 21, 21, 1)
    assert contrast_shrink(224, 75) == 3
    assert contrast_shrink(32, 75) == 1
