"""Hostile clients of a service started as a user starts it."""

import signal
import socket
from pathlib import Path

import httpx
import pytest

from benchmarks.server import Server, start_server
from tests.app.live import head, read_to_the_end

IDLE = 300
OPEN_FILES = 256


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def test_idle_clients_do_not_keep_others_out(gallery: Path, log: Path) -> None:
    settings = {"PALM_GALLERY_URL": f"sqlite:///{gallery}"}
    with start_server(settings, log, until="/health/ready", open_files=OPEN_FILES) as server:
        idle = [connect(server) for _ in range(IDLE)]
        for _ in range(20):  # each on a new connection: one that was kept may have been dropped
            live = httpx.get(f"http://127.0.0.1:{server.port}/health/live", trust_env=False)
            assert live.status_code == 200
        for one in idle:
            one.close()


@pytest.mark.parametrize("sent", [b"", b"--x\r\n"], ids=["nothing", "a little"])
def test_an_unfinished_upload_does_not_keep_the_service_from_stopping(
    gallery: Path, log: Path, sent: bytes
) -> None:
    settings = {"PALM_GALLERY_URL": f"sqlite:///{gallery}", "PALM_STOP_TIMEOUT_S": "1"}
    request = head(
        "POST /v1/identify",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Length: 1000",
        "Expect: 100-continue",
    )
    with start_server(settings, log, until="/health/ready") as server, connect(server) as upload:
        upload.sendall(request)
        assert upload.recv(1000).startswith(b"HTTP/1.1 100")
        upload.sendall(sent)
        server.process.send_signal(signal.SIGTERM)
        assert read_to_the_end(upload).startswith(b"HTTP/1.1 503")
        assert server.process.wait(20) == 0
