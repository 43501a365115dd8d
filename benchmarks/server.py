"""A real server on a free port, for benchmarks and end-to-end tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

REPOSITORY = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "app"]  # as `make run` executes it
START_TIMEOUT_S = 180.0  # beside other work; alone it takes three seconds
STOP_TIMEOUT_S = 15.0
POLL_TIMEOUT_S = 0.05


class ServerFailed(Exception):
    """The process ended, or did not answer in time; the message holds its log."""


class Server(NamedTuple):
    """A running service.

    Attributes:
        process: its process.
        port: the TCP port of 127.0.0.1 that it listens on.
        http: a client whose base URL is the service.
    """

    process: subprocess.Popen[bytes]
    port: int
    http: httpx.Client


@contextmanager
def serve(settings: Mapping[str, str], log: Path, *, until: str) -> Iterator[httpx.Client]:
    """Starts the service as `start_server` does, and yields its client."""
    with start_server(settings, log, until=until) as server:
        yield server.http


@contextmanager
def start_server(
    settings: Mapping[str, str],
    log: Path,
    *,
    until: str,
    open_files: int | None = None,
    command: Sequence[str] = COMMAND,
    timeout_s: float = START_TIMEOUT_S,
) -> Iterator[Server]:
    """Starts the service and ends it when the block ends.

    Args:
        settings: the service's environment variables, by name.
        log: file for what the service writes; its folder is the service's working directory.
        until: path to wait for: /health/live, or /health/ready, which also needs the nets.
        open_files: most files that the process may open; None leaves the limit as it is.
        command: what starts the service.
        timeout_s: seconds that the start may take.

    Raises:
        ServerFailed: if the process ends or does not answer 200 there in time.
    """
    port = free_port()
    settings = {"PALM_PORT": str(port), **settings}
    limit = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"] if open_files else []
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*limit, *command],
            cwd=log.parent,
            env=environment(settings),
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            _wait(process, http, until, log, timeout_s)
            yield Server(process, port, http)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Returns this process's environment: the shipped nets, no rate limit, and these settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PALM_")}
    shipped = {
        "PYTHONPATH": str(REPOSITORY),
        "PALM_MODELS_DIR": str(REPOSITORY / "models_store"),
        "PALM_RATE_LIMIT": "",
    }
    return {**inherited, **shipped, **settings}


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(
    process: subprocess.Popen[bytes], http: httpx.Client, until: str, log: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            answer = http.get(until)
        except httpx.TransportError:  # it does not listen yet, or is still loading the nets
            with suppress(subprocess.TimeoutExpired):  # the process ends, or it is time to retry
                code = process.wait(POLL_TIMEOUT_S)
                raise ServerFailed(f"the service ended with {code}:\n{log.read_text()}") from None
            continue
        if answer.status_code == httpx.codes.OK:
            return
        raise ServerFailed(f"{until} answered {answer.status_code}: {answer.text}")
    raise ServerFailed(f"no answer in {timeout_s} s:\n{log.read_text()}")
