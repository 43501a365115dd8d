"""Cameras: scale, turn and place of the region of interest."""

import numpy as np

from training.synthetic.cameras import draw_camera
from training.synthetic.styles import HELD_OUT, STYLES, TRAINING, Style


def draw(style: Style, count: int = 200) -> list:
    rng = np.random.default_rng(0)
    return [draw_camera(rng, style) for _ in range(count)]


def test_training_cameras_differ_in_scale_turn_and_place() -> None:
    cameras = draw(TRAINING)
    zoom = [camera.zoom for camera in cameras]
    assert 0.6 <= min(zoom) < 0.7
    assert 1.35 < max(zoom) <= 1.5
    assert abs(np.median(zoom) - (0.6 * 1.5) ** 0.5) < 0.1  # uniform in its logarithm
    assert 2 < np.std([camera.turn_deg for camera in cameras]) < 4
    assert np.std([camera.offset for camera in cameras]) > 2


def test_the_held_out_cameras_have_one_scale_and_show_no_new_layer() -> None:
    for camera in draw(HELD_OUT, 20):
        assert (camera.zoom, camera.turn_deg, camera.rim) == (1, 0, 0)
        assert not camera.offset.any()
        assert not camera.shades[5:].any()


def test_every_camera_shows_veins_or_creases() -> None:
    for style in STYLES.values():
        typical = np.array(style.shades[:4])
        for camera in draw(style, 50):
            assert np.abs(camera.shades[:4] / typical).mean() > 0.74
