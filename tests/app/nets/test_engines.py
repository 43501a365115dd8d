"""Both engines give the answers that the net gave when it was exported."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.nets.openvino_engine import OpenvinoEngine
from app.nets.store import Engine
from app.nets.tensorflow_engine import TensorflowEngine


def exact_openvino(folder: Path) -> Engine:
    return OpenvinoEngine(folder, precision="f32")


both_engines = pytest.mark.parametrize("engine", [OpenvinoEngine, TensorflowEngine])
exact_engines = pytest.mark.parametrize("engine", [exact_openvino, TensorflowEngine])
Open = Callable[[Path], Engine]


def golden(exported: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with np.load(exported / "toy/1/golden.npz") as arrays:
        return arrays["images"], arrays["embedding"]


@both_engines
def test_embeddings_point_where_the_exported_ones_do(engine: Open, exported: Path) -> None:
    images, expected = golden(exported)

    found = engine(exported / "toy/1").embed(images)

    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


@exact_engines
def test_in_full_precision_embeddings_are_the_exported_ones(engine: Open, exported: Path) -> None:
    images, expected = golden(exported)

    np.testing.assert_allclose(engine(exported / "toy/1").embed(images), expected, atol=1e-5)


@exact_engines
def test_an_image_s_embedding_does_not_depend_on_its_batch(engine: Open, exported: Path) -> None:
    images, _ = golden(exported)
    net = engine(exported / "toy/1")

    singles = [net.embed(image[np.newaxis]) for image in images]

    np.testing.assert_allclose(np.concatenate(singles), net.embed(images), atol=1e-6)


@both_engines
def test_an_answer_stays_when_the_next_one_comes(engine: Open, exported: Path) -> None:
    images, _ = golden(exported)
    net = engine(exported / "toy/1")

    first = net.embed(images)
    kept = first.copy()
    net.embed(255 - images)

    np.testing.assert_array_equal(first, kept)


@both_engines
def test_threads_get_the_same_answers_as_one_caller(engine: Open, exported: Path) -> None:
    rng = np.random.default_rng(5)
    batches = [rng.integers(0, 256, (1 + i % 4, 32, 32, 3), dtype=np.uint8) for i in range(64)]
    net = engine(exported / "toy/1")
    expected = [net.embed(batch) for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(net.embed, batches * 4))

    for one, other in zip(found, expected * 4, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


LOAD_AUDITED = """
import logging, os, sys
from pathlib import Path

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
