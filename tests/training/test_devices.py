"""Two virtual processors train as one does; each backend in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training.devices import choose_precision, distribute

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_have_the_losses_of_one(backend: str, database: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.training.two_devices", str(database), str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split()[-1] == "2"
    histories = [
        (tmp_path / devices / "history.csv").read_text().splitlines() for devices in ("one", "all")
    ]
    names = histories[0][0].split(",")
    one, both = (
        np.array([[float(x) for x in line.split(",")] for line in history[1:]])
        for history in histories
    )
    losses = [names.index("loss"), names.index("val_loss")]
    np.testing.assert_allclose(both[:, losses], one[:, losses], rtol=1e-3)


def test_a_wrong_choice_of_devices_is_named() -> None:
    with pytest.raises(ValueError, match="one or all, not 'three'"):
        distribute("three")


def test_precision_is_taken_as_asked_or_measured() -> None:
    assert choose_precision("float32") == "float32"
    assert choose_precision("auto") in ("float32", "mixed_bfloat16")
