"""Pairs of images: what the camera takes, degraded or not, at the size that a net sees."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.palm.roi import prepare
from training.database.image_files import ImageFile
from training.synthetic.anatomy import LAYERS
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX
from training.synthetic.capture import shoot
from training.synthetic.pairs import SERVED_PX, photograph_pairs, resize
from training.synthetic.palms import draw_palms
from training.synthetic.sessions import draw_session
from training.synthetic.styles import TRAINING


@pytest.fixture(scope="module")
def palms(tmp_path_factory: pytest.TempPathFactory) -> ImageFile:
    return draw_palms(3, 1, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def take(palms: ImageFile) -> Callable[..., np.ndarray]:
    def take(*identities: int, camera: int = 0, degraded: bool = False) -> np.ndarray:
        return photograph_pairs(palms, np.array(identities), (1, 0, 0), camera, 128, degraded)

    return take


def test_images_that_are_not_degraded_are_what_the_camera_takes(
    palms: ImageFile, take: Callable[..., np.ndarray]
) -> None:
    shared = draw_camera(np.random.default_rng([1, 0, 0, 0, 2]), TRAINING)
    palm = palms[np.array([2])].reshape(len(LAYERS), CANVAS_PX, CANVAS_PX)
    for shot, image in enumerate(take(2)):
        rng = np.random.default_rng([1, 0, 0, 2, shot])
        expected = shoot(palm, draw_session(rng, TRAINING, shared), rng, TRAINING)
        np.testing.assert_array_equal(image, expected)


def test_degraded_images_are_others(take: Callable[..., np.ndarray]) -> None:
    for plain, degraded in zip(take(0, 1, 2), take(0, 1, 2, degraded=True), strict=True):
        assert not np.array_equal(plain, degraded)


def test_without_zoom_every_camera_shows_as_much_of_the_palm(palms: ImageFile) -> None:
    some = np.array([0, 1, 2])
    shared = draw_camera(np.random.default_rng([1, 0, 0, 0, 2]), TRAINING)
    one_scale = replace(shared, zoom=1.0)
    found = photograph_pairs(palms, some, (1, 0, 0), 0, 128, degraded=False, zoomed=False)
    palm = palms[np.array([2])].reshape(len(LAYERS), CANVAS_PX, CANVAS_PX)
    for shot in (0, 1):
        rng = np.random.default_rng([1, 0, 0, 2, shot])
        expected = shoot(palm, draw_session(rng, TRAINING, one_scale), rng, TRAINING)
        np.testing.assert_array_equal(found[4 + shot], expected)


def test_a_palms_images_depend_on_the_camera_and_not_on_the_other_palms(
    take: Callable[..., np.ndarray],
) -> None:
    np.testing.assert_array_equal(take(0, 1, 2)[2:4], take(1))
    assert not np.array_equal(take(1), take(1, camera=1))


@pytest.mark.parametrize("side_px", [112, 32])
def test_an_image_is_resized_as_by_the_service_and_the_net(
    take: Callable[..., np.ndarray], side_px: int
) -> None:
    image = take(0)[0]
    served = prepare(image, SERVED_PX)[..., 0].astype(float)
    factor = SERVED_PX // side_px
    averaged = served.reshape(side_px, factor, side_px, factor).mean(axis=(1, 3))
    assert np.abs(resize(image, side_px) - averaged).max() <= 1.5  # both round
