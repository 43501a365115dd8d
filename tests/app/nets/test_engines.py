"""Both engines give the answers that the net gave when it was exported."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.nets.openvino_engine import OpenvinoNets
from app.nets.tensorflow_engine import TensorflowNets

both_engines = pytest.mark.parametrize("engine", [OpenvinoNets, TensorflowNets])
Open = Callable[[dict[str, Path]], Any]
Maps = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def run_toy(engine: Open, exported: Path) -> Maps:
    nets = engine({"toy": exported / "toy/1"})
    return lambda images: nets.maps(images)[0]


def golden(exported: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    with np.load(exported / "toy/1/golden.npz") as arrays:
        return arrays["images"], arrays["map"], arrays["mask"]


@both_engines
def test_maps_and_masks_are_the_exported_ones(engine: Open, exported: Path) -> None:
    images, expected_maps, expected_masks = golden(exported)

    maps, masks = run_toy(engine, exported)(images)

    assert maps.dtype == masks.dtype == np.float32
    np.testing.assert_allclose(maps, expected_maps, atol=1e-4)
    np.testing.assert_array_equal(masks, expected_masks)
    assert 0 < masks[1].mean() < 1


@both_engines
def test_an_image_s_map_does_not_depend_on_its_batch(engine: Open, exported: Path) -> None:
    images, _, _ = golden(exported)
    maps = run_toy(engine, exported)

    singles = [maps(image[np.newaxis])[0] for image in images]

    np.testing.assert_allclose(np.concatenate(singles), maps(images)[0], atol=1e-5)


@both_engines
def test_an_answer_stays_when_the_next_one_comes(engine: Open, exported: Path) -> None:
    images, _, _ = golden(exported)
    maps = run_toy(engine, exported)

    first = maps(images)
    kept = [one.copy() for one in first]
    maps(255 - images)

    for one, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, copy)


@both_engines
def test_threads_get_the_same_answers_as_one_caller(engine: Open, exported: Path) -> None:
    rng = np.random.default_rng(5)
    batches = [rng.integers(0, 256, (1 + i % 4, 32, 32, 3), dtype=np.uint8) for i in range(64)]
    maps = run_toy(engine, exported)
    expected = [maps(batch)[0] for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(maps, batches * 4))

    for (one, _), other in zip(found, expected * 4, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


LOAD_AUDITED = """
import logging, os, sys
from pathlib import Path
from typing import Any

def watch(event, _):
    # Telemetry sends from a process of its own, so that this must be seen as well.
    if event.split(".")[0] in ("socket", "subprocess") or event in ("os.fork", "os.posix_spawn"):
        os.write(1, f"{event}\\n".encode())

from app.nets.openvino_engine import OpenvinoEngine
sys.addaudithook(watch)
OpenvinoEngine(Path(sys.argv[1]))
print(logging.root.handlers)
"""


@pytest.mark.parametrize("writable", [True, False])
def test_openvino_opens_no_connection_writes_nothing_at_home_and_configures_no_log(
    writable: bool, exported: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    if writable:
        home.mkdir()
    else:
        home.touch()  # not even root can write into a file as into a folder
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_AUDITED, str(exported / "toy/1")],
        env={"HOME": str(home), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert loaded.stdout == "[]\n"
    assert not home.is_dir() or list(home.iterdir()) == []
