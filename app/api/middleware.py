"""Middleware around every route: the log, HEAD, and whole forms."""

import logging
import re
from time import perf_counter
from uuid import uuid4

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-ID"
SEND_IMAGES = "send multipart/form-data with one or more `images`, as curl -F images=@palm.png does"
_ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class FormIncomplete(HTTPException):
    """The form's closing boundary is missing, so that some of its files may be missing too."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "the form ends before its closing boundary; send it whole, as curl -F "
            "images=@palm.png does",
        )


def guard_headers(scope: Scope) -> dict[str, str]:
    """Returns the headers that keep an answer from being misread or kept in caches."""
    headers = {"X-Content-Type-Options": "nosniff"}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path.startswith("/v1/"):  # about people
        headers["Cache-Control"] = "no-store"
    return headers


class RequestLog:
    """Gives each request an id and logs it in one line, without anything from its body.

    A caller's own X-Request-ID is kept if it is up to 64 letters, digits, dots, dashes and
    underscores. The id is in `scope["state"]["request_id"]` and in the answer's header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _ACCEPTED_REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500  # what the server answers if the application raises

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            line = {
                "method": scope["method"],
                "path": scope["app"].state.pseudonyms.in_path(scope["path"]),
                "status": status,
                "ms": round((perf_counter() - start) * 1e3, 1),
                "request_id": request_id,
            }
            logger.info("request", extra={"fields": line})


class HeadAsGet:
    """Answers HEAD with the headers of GET and no body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_without_body)
        finally:
            scope["route"] = inner.get("route")  # which is measured


class WholeForm:
    """Refuses a multipart form that ends before its closing delimiter (RFC 2046, 5.1.1).

    Starlette's parser would accept such a body with the files that arrived whole. The last bytes
    of each message are kept, because the delimiter may be split between two messages.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        delimiter = _closing_delimiter(scope) if scope["type"] == "http" else None
        if delimiter is None:
            await self._app(scope, receive, send)
            return
        tail = b"\r\n"  # the delimiter of an empty form is at the very start
        closed = False

        async def receive_whole() -> Message:
            nonlocal tail, closed
            message = await receive()
            if message["type"] == "http.request" and not closed:
                window = tail + message.get("body", b"")
                closed = delimiter in window
                tail = window[-len(delimiter) :]
                if not closed and not message.get("more_body", False):
                    raise FormIncomplete
            return message

        await self._app(scope, receive_whole, send)


def _closing_delimiter(scope: Scope) -> bytes | None:
    """Returns the closing delimiter of the request's multipart form; None if it is no form."""
    content_type, options = parse_options_header(Headers(scope=scope).get("content-type"))
    if content_type != b"multipart/form-data" or b"boundary" not in options:
        return None
    return b"\r\n--" + options[b"boundary"] + b"--"
