"""Sessions of all styles."""

import numpy as np

from training.synthetic.cameras import draw_camera
from training.synthetic.sessions import draw_session
from training.synthetic.styles import HELD_OUT, STYLES, TRAINING


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


def test_sessions_at_one_camera_are_more_alike_than_cameras() -> None:
    rng = np.random.default_rng(0)
    cameras = [draw_camera(rng, TRAINING) for _ in range(200)]
    sessions = [draw_session(rng, TRAINING, cameras[0]) for _ in range(200)]
    spread = [
        np.abs(np.log(np.abs([one.shades for one in drawn]))).std(axis=0)
        for drawn in (sessions, cameras)
    ]
    assert (spread[0] < spread[1]).all()
    for value in ("exposure", "gamma", "blur_px", "noise"):
        within, between = (
            np.std([getattr(one, value) for one in drawn]) for drawn in (sessions, cameras)
        )
        assert within < between / 2


def test_pressure_moves_the_veins_in_training_and_never_in_the_held_out_style() -> None:
    rng = np.random.default_rng(0)
    pressure = {
        style: draw_session(rng, style, draw_camera(rng, style)).pressure
        for style in (TRAINING, HELD_OUT)
    }
    assert 1 < pressure[TRAINING].std() < 1.7
    assert not pressure[HELD_OUT].any()
