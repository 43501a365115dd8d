"""A real uvicorn on a free port, for those who measure it and those who test it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parents[1]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_TIMEOUT_S = 0.05


class ServerFailed(Exception):
    """The process ended, or did not answer in time; carries what it logged."""


@contextmanager
def serve(settings: Mapping[str, str], log: Path, *, until: str) -> Iterator[httpx.Client]:
    """Runs the service from the repository's root; ends it when the block ends.

    Args:
        settings: environment variables beside this process's own.
        log: file for what the service writes.
        until: path to wait for: /health/live, or /health/ready which also needs the nets.

    Yields:
        A client whose base URL is the service.

    Raises:
        ServerFailed: if the process ends or does not answer 200 there in time.
    """
    port = _free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(port), cwd=REPOSITORY, env=environment(settings), stdout=output, stderr=output
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            _wait(process, http, until, log)
            yield http
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(port: int) -> list[str]:
    """What `make run` executes."""
    uvicorn = [sys.executable, "-m", "uvicorn", "app.main:app"]
    return [*uvicorn, "--host", "127.0.0.1", "--port", str(port)]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `settings`, and no other setting of the service."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PALM_")}
    return {**inherited, **settings}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], http: httpx.Client, until: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            answer = http.get(until)
        except httpx.TransportError:  # not listening yet: it does once it has loaded everything
            with suppress(subprocess.TimeoutExpired):  # the process ends, or it is time to retry
                code = process.wait(POLL_TIMEOUT_S)
                raise ServerFailed(f"the service ended with {code}:\n{log.read_text()}") from None
            continue
        if answer.status_code == httpx.codes.OK:
            return
        raise ServerFailed(f"{until} answered {answer.status_code}: {answer.text}")
    raise ServerFailed(f"no answer in {START_TIMEOUT_S} s:\n{log.read_text()}")
