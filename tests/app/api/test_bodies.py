"""Bodies that are too large, too slow, too many, or that nobody needs."""

import asyncio
import json
import socket
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from app.api.bodies import MAX_BODY_BYTES, UPLOADS_HELD, BodyLimit, UploadRefused
from app.settings import Settings
from tests.app.api.conftest import assert_problem, identify, images, local_client, make_app, png
from tests.app.live import PATIENCE_S, connect, head, live, read_answer, read_to_the_end

FORM = "Content-Type: multipart/form-data; boundary=x"


def keys(number: int) -> dict[str, int]:
    return {f"k{key}": 0 for key in range(number)}


def test_a_body_that_is_no_upload_may_have_a_few_kib(shared_client: TestClient) -> None:
    response = shared_client.patch("/v1/subjects/p001", json=keys(300_000))
    assert_problem(response, 413, f"larger than {MAX_BODY_BYTES} bytes", "multipart/form-data")
    content = iter([json.dumps(keys(300_000)).encode()])  # without a Content-Length
    kind = {"content-type": "application/json"}
    assert_problem(shared_client.patch("/v1/subjects/p001", content=content, headers=kind), 413)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/identify"), ("POST", "/v1/enroll"), ("PATCH", "/v1/subjects/p1")],
)
def test_only_forms_with_images_may_be_large(
    shared_client: TestClient, method: str, path: str
) -> None:
    data = {"name": "x" * MAX_BODY_BYTES}
    assert_problem(shared_client.request(method, path, data=data), 413)
    if method == "PATCH":
        files = images(bytes(MAX_BODY_BYTES))
        assert_problem(shared_client.request(method, path, files=files), 413)


def test_at_most_ten_errors_are_told(shared_client: TestClient) -> None:
    response = shared_client.patch("/v1/subjects/p001", json=keys(1000))
    assert_problem(response, 422, "k9: is unknown", "and 990 more")
    assert len(response.json()["errors"]) == 10
    response = shared_client.get("/v1/subjects", params=keys(30))
    assert_problem(response, 422, "k9: is not a query parameter", "and 20 more")
    assert len(response.json()["errors"]) == 10


def test_a_long_name_of_a_field_is_not_repeated(shared_client: TestClient) -> None:
    response = shared_client.patch("/v1/subjects/p001", json={"x" * 10_000: 0})
    assert_problem(response, 422, "x" * 80 + "...: is unknown")
    assert len(response.content) < 1000


@pytest.mark.parametrize("name", ["images", "name"])
def test_a_form_of_many_parts_is_refused(shared_client: TestClient, name: str) -> None:
    part = (None, b"x") if name == "name" else ("a.png", b"x")
    response = shared_client.post("/v1/identify", files=[(name, part)] * 1000)
    assert_problem(response, 400, "Too many", "32")


def test_a_field_of_a_form_may_have_a_few_kib(shared_client: TestClient) -> None:
    files = [*images(png(1)), ("name", (None, b"x" * 10_000))]
    assert_problem(shared_client.post("/v1/identify", files=files), 400, "8KB")


def test_a_body_that_does_not_arrive_is_answered_and_the_connection_closed(
    settings: Settings,
) -> None:
    impatient = settings.model_copy(update={"body_timeout_s": 0.2})
    with live(make_app(impatient)) as server, connect(server) as connection:
        connection.sendall(head("POST /v1/identify", FORM, "Content-Length: 1000") + b"--x\r\n")
        answer = read_to_the_end(connection)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"within 0.2 s" in answer


@pytest.mark.parametrize(
    ("request_line", "line", "host", "status"),
    [
        ("POST /v1/identify", FORM, "localhost", 413),
        ("POST /v1/identify", FORM, "evil.example", 421),
        ("POST /v1/identify", "Origin: https://evil.example", "localhost", 403),
        ("POST /v1/nothing", FORM, "localhost", 404),
        ("PUT /v1/identify", FORM, "localhost", 405),
        ("DELETE /v1/subjects/ghost", FORM, "localhost", 404),
        ("GET /health/live", FORM, "localhost", 200),
    ],
)
def test_a_body_that_nobody_needs_is_not_read(
    settings: Settings, request_line: str, line: str, host: str, status: int
) -> None:
    request = head(request_line, line, "Content-Length: 99999999999", host=host)
    with live(make_app(settings)) as server, connect(server) as connection:
        connection.sendall(request)
        answer = read_answer(connection)
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        with pytest.raises(ConnectionError):
            send_mebibytes(connection, 1000)


def send_mebibytes(connection: socket.socket, number: int) -> None:
    for _ in range(number):
        connection.sendall(bytes(2**20))


def test_a_body_that_was_read_leaves_the_connection_open(settings: Settings) -> None:
    with local_client(make_app(settings)) as client:
        assert "connection" not in identify(client, png(1)).headers


def test_all_uploads_together_are_limited() -> None:
    limit = 1000
    reading: list[Callable[[], None]] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        ended = asyncio.Event()
        reading.append(ended.set)
        await ended.wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(limit), "more_body": True}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is to be sent")

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    scope: Scope = {"type": "http", "path": "/upload", "headers": headers}

    async def run() -> None:
        limited = BodyLimit(app, uploads=["/upload"], max_bytes=limit, timeout_s=60)
        tasks = [asyncio.create_task(limited(scope, receive, send)) for _ in range(UPLOADS_HELD)]
        while len(reading) < UPLOADS_HELD:
            await asyncio.sleep(0)
        with pytest.raises(UploadRefused, match="holds 8000 bytes"):
            await limited(scope, receive, send)
        reading[0]()
        await tasks[0]
        tasks[0] = asyncio.create_task(limited(scope, receive, send))
        while len(reading) == UPLOADS_HELD:
            await asyncio.sleep(0)
        for end in reading:
            end()
        await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
