"""What happens to every request: an id, a log line, a limit on its body."""

import logging
import re
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


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
        status = 500  # what the server answers where the application raises

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
                "path": scope["path"],
                "status": status,
                "ms": round((perf_counter() - start) * 1e3, 1),
                "request_id": request_id,
            }
            logger.info("request", extra={"fields": line})


class BodyLimit:
    """Refuses a body that is too large as soon as that is known, declared or counted.

    FastAPI's own `max_body_size` answers in plain text; this raises an `HTTPException` where the
    body is read, so that the answer is a problem like every other.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdecimal() else 0
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            if size <= self._max_bytes:
                message = await receive()
                received += len(message.get("body", b""))
                if received <= self._max_bytes:
                    return message
            raise HTTPException(
                413,
                f"the request is larger than {self._max_bytes} bytes; send fewer or smaller images",
            )

        await self._app(scope, receive_within_limit, send)


class StartupErrors:
    """Reports an expected failure to start in one line instead of a traceback."""

    def __init__(self, app: ASGIApp, expected: type[Exception]) -> None:
        self._app = app
        self._expected = expected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] == "lifespan":
            send = self._shortened(send)
        await self._app(scope, receive, send)

    def _shortened(self, send: Send) -> Send:
        name = f"\n{self._expected.__module__}.{self._expected.__qualname__}: "

        async def send_in_one_line(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                _, found, said = message["message"].rpartition(name)
                if found:
                    message["message"] = " ".join(said.split())
            await send(message)

        return send_in_one_line
