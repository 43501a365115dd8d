import numpy as np

from training.fit.augmentation import degrade


def test_a_degraded_image_still_shows_the_vein() -> None:
    plain = np.full((64, 64), 100, np.uint8)
    plain[:, 20:30] = 60
    degraded = [degrade(plain, np.random.default_rng(i)) for i in range(60)]
    assert all(image.shape == (64, 64) and image.dtype == np.uint8 for image in degraded)
    unchanged = sum(np.array_equal(image, plain) for image in degraded)
    assert 5 < unchanged < 30  # expected: 0.7 * 0.7 * 0.8 * 0.7 of 60
    likeness = [np.corrcoef(image.ravel(), plain.ravel())[0, 1] for image in degraded]
    assert np.quantile(likeness, 0.1) > 0.5
