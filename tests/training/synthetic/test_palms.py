"""Palms by seed and number."""

import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray

from training.synthetic.palms import PalmOptions, draw_identity, draw_palms, photograph
from training.synthetic.styles import STYLES, TRAINING


def test_drawn_palms_are_those_of_the_seed(tmp_path: Path) -> None:
    palms = draw_palms(3, 7, tmp_path)[np.arange(3)]
    for identity, palm in enumerate(palms):
        np.testing.assert_array_equal(palm.reshape(8, 176, 176), draw_identity(7, identity))
    assert not np.array_equal(palms[0], palms[1])
    assert not np.array_equal(draw_identity(7, 0), draw_identity(8, 0))


def test_a_palm_with_a_point_on_the_edge_of_its_mesh_is_drawn() -> None:
    assert draw_identity(8, 1530).any()  # rounded to float32, this point is just outside


@pytest.mark.parametrize("name", STYLES)
def test_images_are_repeatable_and_differ_from_session_to_session(name: str) -> None:
    first, again = (
        photograph(3, seed=1, style=STYLES[name], sessions=2, shots=2) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0][0], first[1][0])
    assert not np.array_equal(first[0][0], first[0][1])


def test_every_style_has_an_option() -> None:
    assert get_args(get_type_hints(PalmOptions)["style"]) == tuple(STYLES)


def test_more_sessions_and_shots_leave_the_first_ones_as_they_are() -> None:
    few = photograph(0, seed=1, style=TRAINING, sessions=1, shots=1)
    many = photograph(0, seed=1, style=TRAINING, sessions=2, shots=2)
    np.testing.assert_array_equal(few[0][0], many[0][0])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("identities", 0, "--identities must be at least 1, not 0"),
        ("sessions", 0, "--sessions must be at least 1, not 0"),
        ("shots", -2, "--shots must be at least 1, not -2"),
        ("seed", -1, "--seed must be at least 0, not -1"),
    ],
)
def test_an_option_out_of_range_is_named(option: str, value: int, message: str) -> None:
    options = PalmOptions(**{"identities": 1, "sessions": 1, "shots": 1, option: value})
    with pytest.raises(ValueError, match=message):
        options.require_valid()


def test_processes_end_with_a_parent_that_is_killed() -> None:
    program = (
        "import os, signal; from training.synthetic.palms import start_processes;"
        "start_processes(1).submit(os.getpid).result(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    # Waits for the end of all processes that hold its standard output.
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr


def test_palms_can_take_turns_at_a_few_cameras() -> None:
    def images(identity: int, cameras: int) -> NDArray[np.uint8]:
        return photograph(identity, seed=1, style=TRAINING, sessions=1, shots=1, cameras=cameras)[
            0
        ][0]

    np.testing.assert_array_equal(images(1, 4), images(1, 0))  # the first ones have their own
    assert not np.array_equal(images(5, 4), images(5, 0))  # that of palm 1
