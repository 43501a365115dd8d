"""The peers: how each is installed, started and asked."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.client import ask, form, post
from benchmarks.server import free_port

FOLDER = Path(__file__).parent
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0


class PeerFailed(Exception):
    """A peer could not be installed or started; the message ends with what it wrote."""


class Setting(NamedTuple):
    """A way to run a peer.

    Attributes:
        workers: processes that run the net; MLServer's 0 is its own process.
        batch: most images that are computed together; 1 is no batching.
        threads: TensorFlow's in each worker; 0 leaves it to TensorFlow, which takes all cores.
    """

    workers: int
    batch: int
    threads: int

    def __str__(self) -> str:
        batch = f", batches up to {self.batch}" if self.batch > 1 else ""
        threads = f", {self.threads} thread each" if self.threads else ""
        return f"workers {self.workers}{threads}{batch}"


SETTINGS = (Setting(1, 1, 0), Setting(2, 1, 1), Setting(1, 8, 0))


class Peer(NamedTuple):
    """A server of nets.

    Attributes:
        package: its package and the file of its requirements.
        settings: the ways to run it.
        request: returns the request with an image file.
        command: returns what starts it, given its environment's folder of programs, a folder of
            its own, the port and the setting.
    """

    package: str
    settings: tuple[Setting, ...]
    request: Callable[[bytes], bytes]
    command: Callable[[Path, Path, int, Setting], list[str]]


def _ask_litserve(file: bytes) -> bytes:
    body = {"image_data": base64.b64encode(file).decode()}
    return post("/predict", "application/json", json.dumps(body).encode())


def _start_litserve(programs: Path, _own: Path, _port: int, _setting: Setting) -> list[str]:
    return [str(programs / "python"), str(FOLDER / "serve_litserve.py")]


def _start_bentoml(programs: Path, _own: Path, port: int, _setting: Setting) -> list[str]:
    serve = [str(programs / "bentoml"), "serve", "serve_bentoml:Classifier"]
    return [*serve, "--working-dir", str(FOLDER), "--host", "127.0.0.1", "--port", str(port)]


def _ask_mlserver(file: bytes) -> bytes:
    image = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(file).decode()],
    }
    body = json.dumps({"inputs": [image]}).encode()
    return post("/v2/models/palm/infer", "application/json", body)


def _start_mlserver(programs: Path, own: Path, port: int, setting: Setting) -> list[str]:
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    server = {"host": "127.0.0.1", "debug": False, "parallel_workers": setting.workers, **ports}
    batching = {"max_batch_size": setting.batch, "max_batch_time": 0.005}
    model = {"name": "palm", "implementation": "serve_mlserver.Classifier"}
    model |= batching if setting.batch > 1 else {}
    (own / "settings.json").write_text(json.dumps(server))
    (own / "model-settings.json").write_text(json.dumps(model))
    return [str(programs / "mlserver"), "start", str(own)]


PEERS = {
    "LitServe": Peer("litserve", SETTINGS, _ask_litserve, _start_litserve),
    "BentoML": Peer(
        "bentoml", SETTINGS, lambda file: form("/classify", "images", file), _start_bentoml
    ),
    "MLServer": Peer("mlserver", (Setting(0, 1, 0), *SETTINGS), _ask_mlserver, _start_mlserver),
}


def install(package: str, folder: Path) -> Path:
    """Makes a peer's environment unless it is there, and returns its folder of programs.

    Raises:
        PeerFailed: if it cannot be installed.
    """
    wanted, place = FOLDER / f"{package}.txt", (folder / package).absolute()
    done = place / "requirements.txt"
    if not done.exists() or done.read_text() != wanted.read_text():
        uv = str(Path(sys.executable).with_name("uv"))
        shutil.rmtree(place, ignore_errors=True)
        python = str(place / "bin" / "python")
        for step in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(place)],
            [uv, "pip", "install", "--quiet", "--python", python, "-r", str(wanted)],
        ):
            run = subprocess.run(step, capture_output=True, text=True, check=False)
            if run.returncode:
                raise PeerFailed(f"cannot be installed: {run.stderr.strip()[-300:]}")
        shutil.copy(wanted, done)
    return place / "bin"


@contextmanager
def serve_peer(
    peer: Peer, setting: Setting, programs: Path, model: Path, request: bytes
) -> Generator[tuple[int, int]]:
    """Starts a peer, and ends it with all its processes when the block ends.

    Args:
        peer: the peer.
        setting: the way to run it.
        programs: see `install`.
        model: folder of the SavedModel and its manifest.
        request: is sent until it is answered with success.

    Yields:
        Its port and the id of its first process.

    Raises:
        PeerFailed: if it ends or does not answer in time.
    """
    port = free_port()
    with TemporaryDirectory() as folder, Path(folder, "log").open("w+b") as log:
        process = subprocess.Popen(
            peer.command(programs, Path(folder), port, setting),
            cwd=folder,
            env=_environment(programs, model, port, setting, folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while ask(port, request)[0] != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    wrote = Path(log.name).read_text(errors="replace").strip()
                    raise PeerFailed(f"does not answer ({setting}): {wrote[-300:]}")
                time.sleep(0.2)
            yield port, process.pid
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also workers that outlived it
    process.wait()


def _environment(
    programs: Path, model: Path, port: int, setting: Setting, home: str
) -> Mapping[str, str]:
    threads = {"TF_NUM_INTRAOP_THREADS": str(setting.threads)} if setting.threads else {}
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(FOLDER),
        "HOME": home,
        "BENTOML_DO_NOT_TRACK": "True",
        "PEER_MODEL": str(model.absolute()),
        "PEER_PORT": str(port),
        "PEER_WORKERS": str(setting.workers),
        "PEER_BATCH": str(setting.batch),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **threads,
    }
