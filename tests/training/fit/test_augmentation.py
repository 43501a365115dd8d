import cv2
import numpy as np
import pytest

from training.fit.augmentation import augment, degrade, enlarge, grain


def test_augmented_palm_is_not_mirrored() -> None:
    """A mark at the left stays at the left: a flip would make it another palm."""
    image = np.full((224, 224), 200, np.uint8)
    image[80:140, 20:60] = 0
    for seed in range(30):
        changed = augment(image, np.random.default_rng(seed)).astype(float)
        dark = changed < changed.max() / 4
        assert dark[:, :112].sum() > dark[:, 112:].sum()


def test_light_and_bend_are_the_cubic_interpolation_of_opencv() -> None:
    grid = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    expected = cv2.resize(grid, (224, 224), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(enlarge(grid, 224), expected, atol=1e-5)


def test_grain_is_white_and_hardly_ever_twice_the_same() -> None:
    rng = np.random.default_rng(0)
    one, other = grain(224, rng), grain(224, rng)
    assert one.std() == pytest.approx(1, rel=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1]) < 0.02


def test_a_degraded_image_still_shows_the_vein() -> None:
    plain = np.full((64, 64), 100, np.uint8)
    plain[:, 20:30] = 60
    degraded = [degrade(plain, np.random.default_rng(i)) for i in range(60)]
    assert all(image.shape == (64, 64) and image.dtype == np.uint8 for image in degraded)
    unchanged = sum(np.array_equal(image, plain) for image in degraded)
    assert 5 < unchanged < 30  # expected: 0.7 * 0.7 * 0.8 * 0.7 of 60
    likeness = [np.corrcoef(image.ravel(), plain.ravel())[0, 1] for image in degraded]
    assert np.quantile(likeness, 0.1) > 0.5
