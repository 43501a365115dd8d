"""A real server in a thread, and clients that speak to it byte by byte."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse

import uvicorn
from starlette.types import ASGIApp

from app.connections import BACKLOG, ConnectionLimits, Server, limit_connections

PATIENCE_S = 20.0
"""How long a test waits for what must happen, before it fails."""
UNLIMITED = ConnectionLimits(1000, 60.0)


@contextmanager
def live(app: ASGIApp, limits: ConnectionLimits = UNLIMITED) -> Iterator[Server]:
    """Serves an application; the address is `server.config.host` and `.port`."""
    gc.freeze()  # else the server's start searches all of TensorFlow, for seconds
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            port=listener.getsockname()[1],
            http=limit_connections(limits),
            log_config=None,
            ws="none",
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield server
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
            gc.unfreeze()


def wait_until(is_so: Callable[[], object]) -> None:
    """Waits until something becomes true, and fails if it does not."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.005)


def connect(server: Server) -> socket.socket:
    """Connects to a server of `live`."""
    return socket.create_connection(("127.0.0.1", server.config.port), timeout=PATIENCE_S)


def head(request: str, *lines: str, host: str = "localhost") -> bytes:
    """Returns a request's head."""
    return "\r\n".join([f"{request} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def read_to_the_end(connection: socket.socket) -> bytes:
    """Returns all that is sent until the server closes the connection, or resets it."""
    received = b""
    try:
        while more := connection.recv(2**16):
            received += more
    except ConnectionError:
        pass
    return received


def read_answer(connection: socket.socket) -> HTTPResponse:
    """Returns an answer, whose body is read."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response


def status_of(connection: socket.socket) -> int | None:
    """Returns the status of the answer; None if there is none."""
    try:
        return read_answer(connection).status
    except (ConnectionError, HTTPException):
        return None
