"""The middleware, each around an application of a few lines."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import WholeForm

CONTENT_TYPE = b'multipart/form-data; boundary="x--y"'
PART = b'--x--y\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda --x--y'
FORM = PART + b"\r\n--x--y--"


def receive_all(chunks: Sequence[bytes], content_type: bytes = CONTENT_TYPE) -> bytes:
    """Returns the body that an application behind `WholeForm` receives."""
    received: list[bytes] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        more = True
        while more:
            message = await receive()
            received.append(message.get("body", b""))
            more = message.get("more_body", False)

    waiting = list(chunks)

    async def receive() -> Message:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is to be sent")

    scope: Scope = {"type": "http", "headers": [(b"content-type", content_type)]}
    asyncio.run(WholeForm(app)(scope, receive, send))
    return b"".join(received)


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"  \r\nepilogue of any text", b"\r\n" * 99])
@pytest.mark.parametrize("size", [1, 2, 7, 10**6])
def test_a_whole_form_passes_however_it_is_split(epilogue: bytes, size: int) -> None:
    body = FORM + epilogue
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert receive_all(chunks) == body


def test_a_whole_form_passes_wherever_it_is_split_in_two() -> None:
    for position in range(len(FORM) + 1):
        assert receive_all([FORM[:position], FORM[position:]]) == FORM


def test_a_form_that_ends_early_is_refused_wherever_it_ends() -> None:
    for end in range(len(FORM)):
        for chunks in ([FORM[:end]], [FORM[: end // 2], FORM[end // 2 : end], b""]):
            with pytest.raises(HTTPException, match="closing boundary"):
                receive_all(chunks)


def test_an_empty_form_is_whole() -> None:
    assert receive_all([b"--x--", b"y--\r\n"]) == b"--x--y--\r\n"


def test_the_closing_boundary_must_start_a_line() -> None:
    with pytest.raises(HTTPException, match="closing boundary"):
        receive_all([b"text --x--y--"])


@pytest.mark.parametrize("content_type", [b"application/json", b"multipart/form-data"])
def test_a_body_without_a_boundary_is_left_to_its_parser(content_type: bytes) -> None:
    assert receive_all([b"{}"], content_type) == b"{}"
