"""A light client in a process of its own: a closed loop of clients, or requests at a rate.

It only looks at the status and the length of an answer, so that it takes little of the cores that
it shares with the service. Its own processor time is counted.
"""

import asyncio
import os
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
TIMEOUT_S = 60.0

_STATUS_LENGTH = re.compile(rb"HTTP/1.1 (\d+)(?s:.*?)\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What the clients of one load got.

    Attributes:
        seconds: from the first request until the last answer.
        cpu_s: processor time of the client itself.
        times_ms: by status, what each request took; status 0 is a connection that ended.
        cores_s: processor time of the service meanwhile; see `cpu_s_of`.
        began: when it began, by `time.monotonic`.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    times_ms: dict[int, list[float]] = field(default_factory=dict)
    cores_s: float = 0.0
    began: float = 0.0

    @property
    def accepted(self) -> list[float]:
        """The times of the requests with success, in ms."""
        return self.times_ms.get(200, [])

    @property
    def refused(self) -> list[float]:
        """The times of the requests with any other answer, in ms."""
        return [ms for status, times in self.times_ms.items() if status != 200 for ms in times]

    @property
    def statuses(self) -> dict[str, int]:
        """The number of answers by status, without success."""
        others = {str(status): len(times) for status, times in self.times_ms.items()}
        return dict(Counter({status: n for status, n in others.items() if status != "200"}))

    @property
    def rate(self) -> float:
        """Requests with success a second."""
        return len(self.accepted) / self.seconds

    def percentile(self, share: float) -> float:
        """Returns the time in ms that this share, 0 to 100, of those with success took at most."""
        return float(np.percentile(self.accepted or [np.nan], share))


def closed(port: int, requests: Sequence[bytes], clients: int, seconds: float, pid: int) -> Load:
    """Sends from several clients, each as soon as it has its answer.

    Args:
        port: TCP port of 127.0.0.1.
        requests: whole requests, which are sent in turns.
        clients: number of connections.
        seconds: how long.
        pid: the service's process, whose processor time is counted with that of its children.
    """
    return _in_own_process(_closed, pid, port, requests, clients, seconds)


def arriving(port: int, requests: Sequence[bytes], rate: float, seconds: float, pid: int) -> Load:
    """Sends requests at random times, however many are waiting, as people come to doors.

    Args:
        port: see `closed`.
        requests: see `closed`.
        rate: requests a second, on average (Poisson).
        seconds: how long.
        pid: see `closed`.
    """
    return _in_own_process(_arriving, pid, port, requests, rate, seconds)


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Sends one request; returns the status and the body of its answer, 0 if there is none."""
    with suppress(OSError, HTTPException), socket.create_connection(("127.0.0.1", port)) as sent:
        sent.settimeout(TIMEOUT_S)
        sent.sendall(request)
        answer = HTTPResponse(sent)
        answer.begin()
        return answer.status, answer.read()
    return 0, b""


def post(path: str, content_type: str, body: bytes) -> bytes:
    """Returns a request with a body, after which the connection stays open."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(path: str, name: str, file: bytes) -> bytes:
    """Returns a request with one PNG file in a form."""
    part = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="palm.png"\r\n'
    body = part.encode() + b"Content-Type: image/png\r\n\r\n" + file + b"\r\n--x--\r\n"
    return post(path, "multipart/form-data; boundary=x", body)


def _in_own_process(run: Callable[..., Coroutine[Any, Any, Load]], *arguments: Any) -> Load:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_run, run, *arguments).result()


def _run(run: Callable[..., Coroutine[Any, Any, Load]], pid: int, *arguments: Any) -> Load:
    cpu_s, cores_s, began = time.process_time(), cpu_s_of(pid), time.monotonic()
    load = asyncio.run(run(*arguments))
    load.seconds, load.began = time.monotonic() - began, began
    load.cpu_s, load.cores_s = time.process_time() - cpu_s, cpu_s_of(pid) - cores_s
    return load


async def _closed(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    load, turns = Load(), count()
    end = time.monotonic() + seconds

    async def one() -> None:
        connection = Connection(port)
        while time.monotonic() < end:
            await _ask(connection, requests[next(turns) % len(requests)], load)
        connection.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return load


async def _arriving(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Load:
    load, rng, idle = Load(), random.Random(SEED), list[Connection]()

    async def one(request: bytes) -> None:
        connection = idle.pop() if idle else Connection(port)
        await _ask(connection, request, load)
        idle.append(connection)

    arrival, end = time.monotonic(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as running:
        for turn in count():
            await asyncio.sleep(max(arrival - time.monotonic(), 0))
            running.create_task(one(requests[turn % len(requests)]))
            arrival += rng.expovariate(rate)
            if arrival > end:
                break
    for connection in idle:
        connection.close()
    return load


async def _ask(connection: "Connection", request: bytes, load: Load) -> None:
    started = time.perf_counter()
    status = await connection.ask(request)
    load.times_ms.setdefault(status, []).append((time.perf_counter() - started) * 1e3)


class Connection(asyncio.Protocol):
    """A connection that is kept, and opened again when the service closed it."""

    def __init__(self, port: int) -> None:
        """Opens nothing yet."""
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[int] | None = None

    async def ask(self, request: bytes) -> int:
        """Sends a request and returns the status of its answer; 0 if there is none."""
        loop = asyncio.get_running_loop()
        self._answer, self._received = loop.create_future(), b""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                if self._transport is None or self._transport.is_closing():
                    await loop.create_connection(lambda: self, "127.0.0.1", self._port)
                assert self._transport is not None
                self._transport.write(request)
                return await self._answer
        self.close()
        return 0

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to use a connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Completes the answer when all of it is there."""
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap or self._answer is None or self._answer.done():
            return
        found = _STATUS_LENGTH.match(head)
        if found is None:
            raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
        if len(body) >= int(found[2]):
            if b"\r\nconnection: close" in head.lower():
                self.close()
            self._answer.set_result(int(found[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells who waits that no answer comes."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)


def cpu_s_of(pid: int) -> float:
    """Returns the processor time that a process and its living children have taken, in s."""
    tick = os.sysconf("SC_CLK_TCK")
    total, waiting = 0, [pid]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
            for task in (folder / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return total / tick
