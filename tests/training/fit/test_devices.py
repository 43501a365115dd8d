"""Several devices and several processes train as one does; each backend in a process of its own."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from training.fit.devices import choose_precision, distribute, require_divisible

REPOSITORY = Path(__file__).parents[3]


def train(
    database: Path, out: Path, *choices: str, backend: str = "jax", devices: int = 1, **more: str
) -> list[str]:
    """Trains on each of the choices with so many virtual devices; returns the lines printed."""
    environment = {
        "KERAS_BACKEND": backend,
        "DEVICES": str(devices),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **more,
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.training.fit.two_devices", str(database), str(out), *choices],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # processes that do not agree wait for each other
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.splitlines()


def figures(run: Path) -> np.ndarray:
    """Losses and validation figures of every epoch, [epochs, 4]."""
    names, *rows = (line.split(",") for line in (run / "history.csv").read_text().splitlines())
    chosen = [names.index(n) for n in ("loss", "accuracy", "val_loss", "val_accuracy")]
    return np.array(rows, float)[:, chosen]


@pytest.mark.parametrize(("backend", "devices"), [("tensorflow", 2), ("jax", 10)])
def test_several_devices_have_the_figures_of_one(
    backend: str, devices: int, database: Path, tmp_path: Path
) -> None:
    """Among ten neither the 12 validation images nor the 32 that the guard looks at divide."""
    lines = train(database, tmp_path, "one", "all", backend=backend, devices=devices)
    assert lines[-1] == str(devices)
    one = figures(tmp_path / "one")
    assert one[-1, 0] < 0.9 * one[0, 0]  # it moves: equal figures say something
    np.testing.assert_allclose(figures(tmp_path / "all"), one, rtol=1e-4)


def test_two_processes_have_the_figures_of_one(database: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

    def join(process: str) -> list[str]:
        out = tmp_path / process
        return train(database, out, "all", COORDINATOR=address, PROCESS=process)

    with ThreadPoolExecutor() as pool:
        lines = list(pool.map(join, "01"))
    train(database, tmp_path, "one")
    told = "the processes differ in precision (here 'float{}'): start all of them alike"
    for process, printed in zip("01", lines, strict=True):
        assert printed[-3:] == ["2", f"slice({process}, None, 2)", told.format(process)]
        found = figures(tmp_path / process / "all")
        np.testing.assert_allclose(found, figures(tmp_path / "one"), rtol=1e-4)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    require_divisible(32, 4)
    with pytest.raises(ValueError, match="32 does not divide among 6 devices: give 30 or 36"):
        require_divisible(32, 6)
    with pytest.raises(ValueError, match=r"4 does not divide among 6 devices: give 6$"):
        require_divisible(4, 6)


def test_a_wrong_choice_of_devices_is_named() -> None:
    with pytest.raises(ValueError, match="one or all, not 'three'"):
        distribute("three")


def test_precision_is_taken_as_asked_or_measured() -> None:
    assert choose_precision("float32") == "float32"
    assert choose_precision("auto") in ("float32", "mixed_bfloat16")
