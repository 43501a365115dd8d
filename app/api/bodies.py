"""Middleware that limits what clients may send as a body: how much, how long, all together."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 16 * 1024
"""Largest body of a request that is no upload."""
UPLOADS_HELD = 8
"""How many of the largest uploads may be held at the same time, in memory or temporary files."""
LINGER_S = 1.0
LINGER_BYTES = 2**20
"""What is still read of a body that nobody needs, so that its sender reads the answer first. A
connection that is closed with unread data is reset, and some clients then lose the answer."""


class BodyTooLarge(HTTPException):
    """The request's body is larger than the limit."""

    def __init__(self, max_bytes: int) -> None:
        advice = "send fewer or smaller images"
        if max_bytes <= MAX_BODY_BYTES:
            advice = "only a form with images (multipart/form-data), where one is asked for, may be"
        super().__init__(413, f"the request is larger than {max_bytes} bytes; {advice}")


class BodyTooSlow(HTTPException):
    """The request's body did not arrive in time."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            408,
            f"the request's body did not arrive within {timeout_s:g} s; send fewer or smaller "
            "images, or set PALM_BODY_TIMEOUT_S to more",
        )


class UploadRefused(HTTPException):
    """The service cannot take the upload now."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, f"{reason}; try again")


class BodyLimit:
    """Refuses a body that is too large or too slow, or that comes with too many others.

    It raises an `HTTPException` where the body is read, so that the answer is a problem like every
    other; FastAPI's own `max_body_size` answers in plain text.
    """

    def __init__(
        self, app: ASGIApp, *, uploads: Collection[str], max_bytes: int, timeout_s: float
    ) -> None:
        """Wraps an application.

        Args:
            app: the application.
            uploads: paths that take forms with images.
            max_bytes: largest of these forms; every other body may have `MAX_BODY_BYTES`.
            timeout_s: seconds in which a body must arrive.
        """
        self._app = app
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._budget = _Budget(UPLOADS_HELD * max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdecimal() else 0
        body = Body(receive, size, self._limit(scope), self._timeout_s, self._budget)
        scope.setdefault("state", {})["body"] = body
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.release()

    def _limit(self, scope: Scope) -> int:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        content_type, _ = parse_options_header(Headers(scope=scope).get("content-type"))
        is_upload = path in self._uploads and content_type == b"multipart/form-data"
        return self._max_bytes if is_upload else min(MAX_BODY_BYTES, self._max_bytes)


class _Budget:
    """Counts the bytes of all bodies that are held at present."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0


class Body:
    """Receives one request's body within its limits."""

    def __init__(
        self, receive: Receive, declared: int, limit: int, timeout_s: float, budget: _Budget
    ) -> None:
        self._receive = receive
        self._declared = declared
        self._limit = limit
        self._timeout_s = timeout_s
        self._budget = budget
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._task = asyncio.current_task()
        self._held = 0
        self._more = True

    @property
    def is_whole(self) -> bool:
        """Whether all of the body was received."""
        return not self._more

    async def receive(self) -> Message:
        """Receives a message, as ASGI asks, or raises an `HTTPException`."""
        if self._declared > self._limit:
            raise BodyTooLarge(self._limit)
        message = await (self._receive_in_time() if self._more else self._receive())
        self._more = self._more and message.get("more_body", False)
        self._hold(len(message.get("body", b"")))
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._timeout_s) from None
        except asyncio.CancelledError:
            if asyncio.current_task() is not self._task:  # it only waits for a disconnection
                raise
            # By the server, when the time to stop is over.
            raise UploadRefused("the service stops") from None

    def _hold(self, size: int) -> None:
        if self._held + size > self._limit:
            raise BodyTooLarge(self._limit)
        most = self._budget.max_bytes
        if self._budget.held + size > most:
            self.release()  # at once, or this answer would make the other uploads fail too
            raise UploadRefused(f"the service holds {most} bytes of uploads, the most that it may")
        self._held += size
        self._budget.held += size

    def release(self) -> None:
        """Gives the body's bytes back."""
        self._budget.held -= self._held
        self._held = 0


class CloseUnread:
    """Closes the connection of a request that is answered before its body has arrived.

    The server would read the rest of the body, however large it is or slowly it comes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        unread = True

        async def receive_to_the_end() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            elif unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _linger(receive_to_the_end)
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, receive_to_the_end, send_and_close)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _linger(receive: Receive) -> None:
    """Reads a little of the body, until its sender has read the answer and leaves."""
    received, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while more and received < LINGER_BYTES:
                message = await receive()
                more = message.get("more_body", False)
                received += len(message.get("body", b""))
