"""Connections that keep the service waiting, over real sockets."""

import asyncio
import gc
import resource
import socket
import threading

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.connections import (
    BACKLOG,
    OTHER_FILES,
    READ_BYTES,
    ConnectionLimits,
    affordable_connections,
)
from tests.app.live import PATIENCE_S, connect, head, live, read_to_the_end, status_of, wait_until

GET = head("GET /")
CHUNKED = head("POST /", "Transfer-Encoding: chunked")
IMPATIENT = ConnectionLimits(100, 0.2)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of the body's bytes."""
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
    body = f"{size} bytes".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_served(connection: socket.socket) -> bool:
    connection.sendall(GET)
    return status_of(connection) == 200


def test_a_client_that_sends_nothing_is_disconnected() -> None:
    with live(answer, IMPATIENT) as server, connect(server) as connection:
        assert read_to_the_end(connection) == b""


def test_a_client_that_sends_its_head_byte_by_byte_is_disconnected() -> None:
    with live(answer, IMPATIENT) as server, connect(server) as connection:
        connection.settimeout(0.05)
        ended = False
        for byte in b"GET /" + b"a" * 400:
            try:
                connection.sendall(bytes([byte]))
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
            if ended:
                break
        assert ended


def test_a_second_request_has_the_same_deadline() -> None:
    with live(answer, IMPATIENT) as server, connect(server) as connection:
        assert is_served(connection)
        connection.sendall(b"GET / HT")
        assert read_to_the_end(connection) == b""


def test_a_client_that_does_not_take_its_answer_is_disconnected() -> None:
    ended = threading.Event()

    async def answer_without_end(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not ended.is_set():  # the server drops what is sent to nobody
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
            await asyncio.sleep(0)

    with live(answer_without_end, IMPATIENT) as server, connect(server) as connection:
        connection.sendall(GET)
        assert connection.recv(1)
        wait_until(lambda: not server.server_state.connections)
        ended.set()


def test_the_service_s_own_time_is_not_the_client_s() -> None:
    async def answer_late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3 * IMPATIENT.client_timeout_s)
        await answer(scope, receive, send)

    with live(answer_late, IMPATIENT) as server, connect(server) as connection:
        assert is_served(connection)


def test_a_further_client_takes_the_place_of_the_one_that_was_idle_longest() -> None:
    limits = ConnectionLimits(2, 60.0)
    with live(answer, limits) as server, connect(server) as first, connect(server) as second:
        wait_until(lambda: len(server.server_state.connections) == 2)
        with connect(server) as third:
            assert is_served(third)
            assert read_to_the_end(first) == b""
            assert is_served(second)


def test_a_client_whose_request_is_computed_keeps_its_place() -> None:
    entered, leave = threading.Event(), threading.Event()

    async def compute(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        entered.set()
        await asyncio.to_thread(leave.wait, PATIENCE_S)
        await answer(scope, receive, send)

    with live(compute, ConnectionLimits(1, 60.0)) as server, connect(server) as first:
        first.sendall(GET)
        assert entered.wait(PATIENCE_S)
        with connect(server) as second:
            assert read_to_the_end(second) == b""
        leave.set()
        assert status_of(first) == 200


def test_more_clients_than_places_leave_no_connection_open() -> None:
    with live(answer, ConnectionLimits(4, 60.0)) as server:
        clients = [connect(server) for _ in range(40)]
        with connect(server) as last:
            assert is_served(last)
            assert len(server.server_state.connections) <= 4
        for client in clients:
            client.close()


@pytest.mark.parametrize(("size", "is_taken"), [(1, False), (16, False), (128, True)])
def test_a_body_in_tiny_chunks_is_not_taken(size: int, is_taken: bool) -> None:
    chunk = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"
    with live(answer) as server, connect(server) as connection:
        try:
            connection.sendall(CHUNKED + chunk * 10_000 + b"0\r\n\r\n")
        except ConnectionError:
            assert not is_taken
        assert (status_of(connection) == 200) == is_taken


def test_the_limit_of_open_files_limits_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    others = BACKLOG + OTHER_FILES

    def allow(files: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    allow(others + 100)
    assert affordable_connections(256) == 100
    assert affordable_connections(50) == 50
    allow(resource.RLIM_INFINITY)
    assert affordable_connections(256) == 256
    allow(others)
    with pytest.raises(ValueError, match=f"may open {others} files.*raise the limit"):
        affordable_connections(256)


def test_a_large_body_is_read_in_small_pieces_so_that_others_are_served_in_between() -> None:
    sizes: list[int] = []

    async def note_sizes(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_noting() -> Message:
            message = await receive()
            sizes.append(len(message.get("body", b"")))
            return message

        await answer(scope, receive_noting, send)

    size = 16 * READ_BYTES
    with live(note_sizes) as server, connect(server) as connection:
        connection.sendall(head("POST /", f"Content-Length: {size}") + b"x" * size)
        assert status_of(connection) == 200
    assert sum(sizes) == size
    assert max(sizes) <= 2 * READ_BYTES  # while one is waited for, another is kept


def test_the_garbage_collector_does_not_search_what_the_start_made() -> None:
    with live(answer) as server:
        wait_until(lambda: all(found is not server for found in gc.get_objects()))


def test_a_request_whose_client_has_left_is_not_begun() -> None:
    begun: list[str] = []
    holds, release = threading.Event(), threading.Event()

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        begun.append(scope["path"])
        if scope["path"] == "/hold":
            holds.set()
            assert release.wait(PATIENCE_S)  # in the event loop: nothing is read meanwhile
        await answer(scope, receive, send)

    with live(note) as server, connect(server) as first:
        first.sendall(head("GET /hold"))
        assert holds.wait(PATIENCE_S)
        with connect(server) as second:
            second.sendall(head("DELETE /left"))
        release.set()
        assert status_of(first) == 200
        assert is_served(first)
    assert begun == ["/hold", "/"]
