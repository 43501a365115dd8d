"""Cameras, sessions and shots of both styles."""

from dataclasses import replace

import numpy as np

from training.synthetic.anatomy import draw_palm
from training.synthetic.capture import (
    HELD_OUT,
    IMAGE_PX,
    STYLES,
    TRAINING,
    draw_camera,
    draw_session,
    shoot,
)


def test_held_out_style_draws_what_training_never_does() -> None:
    generators = [np.random.default_rng(i) for i in range(60)]
    sessions = {
        name: [draw_session(rng, style, draw_camera(rng, style)) for rng in generators]
        for name, style in STYLES.items()
    }
    assert all(s.pattern is None and s.inverted is None for s in sessions["training"])
    assert all(s.shades[2:4].any() for s in sessions["training"])
    assert any(s.pattern is not None for s in sessions["held-out"])
    assert any(s.inverted is not None for s in sessions["held-out"])
    assert any(not s.shades[2:4].any() for s in sessions["held-out"])


def test_a_pattern_below_black_is_no_error() -> None:
    rng = np.random.default_rng(0)
    session = draw_session(rng, HELD_OUT, draw_camera(rng, HELD_OUT))
    dark = replace(session, pattern=np.full((IMAGE_PX, IMAGE_PX), -2, np.float32))
    with np.errstate(invalid="raise"):
        image = shoot(draw_palm(rng), dark, rng, HELD_OUT)
    assert image.max() < 20


def test_sessions_at_one_camera_are_more_alike_than_cameras() -> None:
    rng = np.random.default_rng(0)
    cameras = np.array([draw_camera(rng, TRAINING) for _ in range(200)])
    sessions = np.array([draw_session(rng, TRAINING, cameras[0]).shades for _ in range(200)])
    spread = [np.abs(np.log(np.abs(shades))).std(axis=0) for shades in (sessions, cameras)]
    assert (spread[0] < spread[1]).all()
