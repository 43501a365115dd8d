"""Connections that no client can hold for long, and of which there are never too many."""

import asyncio
import gc
import resource
import socket
from typing import Any, ClassVar, NamedTuple, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG = 8
"""Connections that are accepted at a time, before any of them is counted. The first requests of all
of them are read and begun before anything else is served, each in about 3 ms."""
OTHER_FILES = 120
"""Files that the rest of the service may have open: databases, uploads, the log."""
QUEUE = 128
"""Connections that the system completes before the service accepts them. A client that finds the
queue full tries again after a second; in a longer one it would wait as long behind a flood."""
READ_BYTES = 64 * 1024
"""Bytes that are read from a connection at a time. asyncio's 256 KiB take 2 ms to parse and to
store, and 40 uploads at the same time then kept all others waiting for 80 ms."""
SLICE_BYTES = 2048
"""Bytes of a chunked body that are parsed at a time: chunks of one byte take 10 ms."""
ROUNDS_TO_LEAVE = 2
"""Rounds of the event loop before a request is begun: one reads that its client has left, the next
one tells."""
FRAMING_BYTES = 1024
BODY_PER_FRAMING = 16
"""The sizes of a body's chunks may have a sixteenth of the body's bytes, and 1 KiB: chunks of 100
bytes are long enough. The parser takes 10 microseconds for each, however short it is."""


class ConnectionLimits(NamedTuple):
    """What a client may take.

    Attributes:
        connections: most connections at the same time.
        client_timeout_s: seconds in which a client must send the head of a request, or take what
            was sent to it.
    """

    connections: int
    client_timeout_s: float


def limit_connections(chosen: ConnectionLimits) -> type[H11Protocol]:
    """Returns the server's protocol with these limits."""

    class LimitedConnection(Connection):
        limits: ClassVar = chosen

    return LimitedConnection


def affordable_connections(wanted: int) -> int:
    """Returns how many connections the process's limit of open files allows, up to `wanted`.

    Raises:
        ValueError: if it allows none.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    affordable = min(wanted, files - BACKLOG - OTHER_FILES)
    if affordable < 1:
        raise ValueError(
            f"this process may open {files} files, which is too few to serve: raise the limit to "
            f"{BACKLOG + OTHER_FILES + wanted} (ulimit -n)"
        )
    return affordable


class Server(uvicorn.Server):
    """A server that accepts few connections at a time, lets the others queue, and does not halt."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, as `uvicorn.Server` does."""
        await super().startup(sockets)
        # What the start made stays. Python's collector would search all of it again and again,
        # which halts every thread for 0.1 s.
        gc.collect()
        gc.freeze()
        for listener in sockets or []:
            listener.listen(QUEUE)  # asyncio queues no more than it accepts at a time


class Connection(H11Protocol):
    """A connection that ends when its client keeps the service waiting.

    The server itself ends only connections that are idle after an answer. The time for a body is
    limited in `app.api.bodies`, where the answer can be a problem.
    """

    limits: ClassVar[ConnectionLimits]
    _timer: asyncio.TimerHandle | None = None
    since = 0.0  # when the service began to wait for the present request
    _framing = 0  # bytes of the present body's chunks that are not of the body
    _body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Makes room for the connection, and starts to wait for its first request."""
        super().connection_made(transport)
        self.app = self._serve_those_who_stay
        cast(Any, transport).max_size = READ_BYTES  # asyncio's own name
        self._await_request()
        self._make_room()

    async def _serve_those_who_stay(self, scope: Any, receive: Any, send: Any) -> None:
        """Runs the application, unless the client has left already.

        A client that sends and leaves costs so little that those behind it are served soon.
        """
        cycle = self.cycle
        for _ in range(ROUNDS_TO_LEAVE):
            await asyncio.sleep(0)
        if not cycle.disconnected:
            await cast(Any, self.config).loaded_app(scope, receive, send)

    def data_received(self, data: bytes) -> None:
        """Parses what was received, and drops a connection whose chunks are tiny."""
        while data and not self.transport.is_closing():
            size = SLICE_BYTES if self._may_be_chunked() else len(data)
            self._parse(data[:size])
            data = data[size:]
            if self._framing > FRAMING_BYTES + self._body // BODY_PER_FRAMING:
                self.logger.warning("closed a connection whose body came in tiny chunks")
                self.drop()
        self._watch()

    def _may_be_chunked(self) -> bool:
        return self._is_between() or all(name != b"content-length" for name, _ in self.headers)

    def _parse(self, data: bytes) -> None:
        if self._is_between():  # the head, and maybe the start of the body
            super().data_received(data)
            return
        before = self._unread()
        super().data_received(data)
        body = self._unread() - before
        self._body += body
        self._framing += len(data) - body

    def _unread(self) -> int:
        return len(self.cycle.body) if self.cycle else 0

    def on_response_complete(self) -> None:
        """Starts to wait for the next request, and for the client to take the answer."""
        self._await_request()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Starts to wait for the client to take what was sent."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Ends the wait."""
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        super().connection_lost(exc)
        self._unwatch()

    def drop(self) -> None:
        """Ends the connection at once; what was not sent is lost."""
        self.connections.discard(self)
        self.transport.abort()

    def is_waiting(self) -> bool:
        """Tells whether the service waits for the client."""
        return self._is_between() or self.cycle.more_body or self.flow.write_paused

    def _is_between(self) -> bool:
        return not self.cycle or self.cycle.response_complete

    def _make_room(self) -> None:
        """Drops the connection that has kept the service waiting longest; maybe this new one."""
        if len(self.connections) > self.limits.connections:
            ours = cast("set[Connection]", self.connections)
            waiting = [one for one in ours if one.is_waiting()]
            min(waiting, key=lambda one: one.since).drop()

    def _await_request(self) -> None:
        self.since = self.loop.time()
        self._framing = self._body = 0
        self._unwatch()
        self._watch()

    def _watch(self) -> None:
        """Sets the timer while the service waits for the client, other than for a body."""
        if not (self._is_between() or self.flow.write_paused or self.transport.is_closing()):
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.limits.client_timeout_s, self.drop)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
