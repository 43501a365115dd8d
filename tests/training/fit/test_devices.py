"""Several devices train as one does; each backend in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from training.fit.devices import (
    choose_precision,
    distribute,
    require_divisible,
    time_convolution,
    use_precision,
)

REPOSITORY = Path(__file__).parents[3]


def train(database: Path, out: Path, backend: str, devices: int) -> int:
    """Trains on one and on all of so many virtual devices; returns how many the backend had."""
    environment = {
        "KERAS_BACKEND": backend,
        "DEVICES": str(devices),
        # Toys are compiled for longer than they run: little is optimised.
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.training.fit.two_devices", str(database), str(out)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return int(run.stdout.splitlines()[-1])


def figures(run: Path) -> np.ndarray:
    """Losses and validation figures of every epoch, [epochs, 4]."""
    names, *rows = (line.split(",") for line in (run / "history.csv").read_text().splitlines())
    chosen = [names.index(n) for n in ("loss", "accuracy", "val_loss", "val_accuracy")]
    return np.array(rows, float)[:, chosen]


@pytest.mark.parametrize(("backend", "devices"), [("tensorflow", 2), ("jax", 5)])
def test_several_devices_have_the_figures_of_one(
    backend: str, devices: int, database: Path, tmp_path: Path
) -> None:
    """Neither the 12 validation images nor the 32 that the guard inspects divide among five."""
    assert train(database, tmp_path, backend, devices) == devices
    one = figures(tmp_path / "one")
    assert one[-1, 0] < 0.9 * one[0, 0]  # it moves: equal figures say something
    np.testing.assert_allclose(figures(tmp_path / "all"), one, rtol=1e-4)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    require_divisible(32, 4)
    with pytest.raises(ValueError, match="32 does not divide among 6 devices: give 30 or 36"):
        require_divisible(32, 6)
    with pytest.raises(ValueError, match=r"4 does not divide among 6 devices: give 6$"):
        require_divisible(4, 6)


def test_a_wrong_choice_of_devices_is_named() -> None:
    with pytest.raises(ValueError, match="one or all, not 'three'"):
        distribute("three")


@pytest.mark.parametrize(
    ("bfloat16_s", "chosen"), [(0.7, "mixed_bfloat16"), (0.9, "float32"), (1.5, "float32")]
)
def test_precision_auto_is_bfloat16_where_it_is_clearly_faster(
    bfloat16_s: float, chosen: str
) -> None:
    seconds = {"float32": 1.0, "bfloat16": bfloat16_s}
    assert choose_precision("auto", seconds.__getitem__) == chosen


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16"])
def test_a_precision_that_is_asked_for_is_taken_untimed(asked: str) -> None:
    assert choose_precision(asked, {}.__getitem__) == asked


def test_a_convolution_is_timed_in_both_precisions() -> None:
    timed: list[str] = []

    def seconds_of(dtype: str) -> float:
        timed.append(dtype)
        return time_convolution(dtype)

    choose_precision("auto", seconds_of)
    assert sorted(timed) == ["bfloat16", "float32"]


def test_a_precision_ends_with_its_scope() -> None:
    with use_precision("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
