"""Shots of all styles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.synthetic.anatomy import draw_palm
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, IMAGE_PX, Layers
from training.synthetic.capture import shoot
from training.synthetic.sessions import draw_session
from training.synthetic.styles import HELD_OUT, MOBILE, TRAINING, Style

PLAIN = replace(
    TRAINING,
    displace=lambda _: np.zeros(2),
    shades=(0, 0, 0.5, 0, 0, 0.5, 0, 0),
    uneven=0,
    noise=(0, 0),
    rim=(0, 0),
    spots=0,
    pose=0,
)
"""A camera that shows a mesh and principal lines, and hardly anything else."""


@pytest.fixture(scope="module")
def cross() -> Layers:
    """A palm with one upright vein and one upright line beside it."""
    palm = np.zeros((8, CANVAS_PX, CANVAS_PX), np.uint8)
    palm[[4, 6]] = 128
    palm[5, :, 86:90] = 255
    palm[2, :, 110:114] = 255
    return palm


def take(palm: Layers, style: Style, **changes: Any) -> np.ndarray:
    """Takes one image; `changes` are those of the camera."""
    rng = np.random.default_rng(3)
    level = {"turn_deg": 0.0, "offset": np.zeros(2, np.float32), "zoom": 1.0}
    camera = replace(draw_camera(rng, style), **level | changes)
    session = draw_session(rng, style, camera)
    still = replace(session, stretch=0 * session.stretch, shades=np.abs(session.shades))
    return shoot(palm, still, rng, style).astype(np.float32)


def places(image: np.ndarray) -> np.ndarray:
    """Returns the columns of the two darkest bands, in px."""
    profile = image[50:78].mean(axis=0)
    left, right = profile[:77].argmin(), 77 + profile[77:].argmin()
    return np.array([left, right])


def test_a_camera_with_a_larger_zoom_shows_a_smaller_part_of_the_palm(cross: Layers) -> None:
    style = replace(PLAIN, pressure_px=0)
    distances = [float(np.diff(places(take(cross, style, zoom=zoom)))[0]) for zoom in (1, 1.4)]
    assert distances[0] == pytest.approx(24, abs=2)
    assert distances[1] == pytest.approx(1.4 * 24, abs=3)


def test_a_camera_displaces_all_its_images(cross: Layers) -> None:
    style = replace(PLAIN, pressure_px=0)
    moved = take(cross, style, offset=np.array([8, 0], np.float32))
    assert places(take(cross, style)) - places(moved) == pytest.approx([8, 8], abs=1)


def test_pressure_moves_veins_and_leaves_creases(cross: Layers) -> None:
    free, pressed = (take(cross, replace(PLAIN, pressure_px=px)) for px in (0, 6))
    vein, line = np.abs(places(free) - places(pressed))
    assert vein > 1
    assert line <= 1


def test_the_rim_is_dark_where_the_camera_says_so(cross: Layers) -> None:
    bright, dark = (take(cross, PLAIN, rim=rim) for rim in (0, 0.6))
    assert dark[:8].mean() < 0.95 * bright[:8].mean()
    assert dark[60:68].mean() == pytest.approx(bright[60:68].mean(), rel=0.05)


def test_a_rolling_shutter_bends_upright_lines(cross: Layers) -> None:
    style = replace(PLAIN, pressure_px=0)
    lines = [
        take(cross, replace(style, wobble_px=px))[:, 40:80].argmin(axis=1).std() for px in (0, 8)
    ]
    assert lines[1] > lines[0] + 1
    assert MOBILE.wobble_px > 0 == TRAINING.wobble_px


def test_a_pattern_below_black_is_no_error() -> None:
    rng = np.random.default_rng(0)
    session = draw_session(rng, HELD_OUT, draw_camera(rng, HELD_OUT))
    dark = replace(session, pattern=np.full((IMAGE_PX, IMAGE_PX), -2, np.float32))
    with np.errstate(invalid="raise"):
        image = shoot(draw_palm(rng), dark, rng, HELD_OUT)
    assert image.max() < 20
