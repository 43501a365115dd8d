"""Sends twice as many requests as the service can answer, for ten minutes, from many clients.

Clients arrive at random, however many are waiting, as people at doors do. Each opens a connection,
sends one request and leaves with its answer.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from benchmarks.hostile import HEALTH_MS, peak_mb, probe
from benchmarks.server import Server, start_server
from benchmarks.torture.outcome import Options, Row, counted
from benchmarks.torture.palms import SEED, draw
from benchmarks.torture.stores import place_of

SECONDS = 600
CAPACITY_S = 10
"""Seconds for which the capacity is measured before."""
FACTOR = 2.0
CLIENTS = 4  # while the capacity is measured: as many as compute and wait by default
PALMS = 20
RECOVERY_S = 10.0
"""Most that may pass after the last arrival until an identification is as fast as before, in s."""
MEMORY_MB = 512.0
"""Most that the memory may rise: the uploads that may be held, and what computing them takes."""
TIMEOUT_S = 60.0

_NUMBERS = count()  # of subjects, also of clients one after another


@dataclass
class Answers:
    """What clients got.

    Attributes:
        times: of the requests with success, in ms.
        statuses: number of answers by status, or by what came instead.
        unadvised: number of answers 503 without Retry-After.
    """

    times: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    unadvised: int = 0


class Client:
    """Sends mixed requests: of ten, six identify, two list, one enrolls and one erases."""

    def __init__(self, port: int, palms: list[list[bytes]]) -> None:
        self._port = port
        self._palms = palms
        self._rng = random.Random(SEED)
        self._enrolled: list[str] = []
        self.answers = Answers()

    async def send(self) -> None:
        """Sends one request on a new connection, and notes its answer."""
        request, subject_id = self._choose()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, head = await self._exchange(request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.answers.statuses["closed" if isinstance(error, ConnectionError) else "none"] += 1
            return
        self.answers.statuses[status] += 1
        self.answers.unadvised += status == "503" and b"retry-after:" not in head
        if status.startswith("2"):
            self.answers.times.append((time.perf_counter() - started) * 1e3)
            if subject_id:
                self._enrolled.append(subject_id)

    async def _exchange(self, request: bytes) -> tuple[str, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.read()
            return head[9:12].decode(), head
        finally:
            writer.transport.abort()

    def _choose(self) -> tuple[bytes, str | None]:
        """Returns a request, and whom it enrolls."""
        palm = self._rng.choice(self._palms)
        kind = self._rng.randrange(10)
        if kind == 0:
            subject_id = f"o{next(_NUMBERS)}"
            fields = {"subject_id": subject_id, "force": "true"}
            return upload("/v1/enroll", palm, fields), subject_id
        if kind == 1 and self._enrolled:
            return head(f"DELETE /v1/subjects/{self._enrolled.pop()}"), None
        if kind in (2, 3):
            return head("GET /v1/subjects?limit=20"), None
        return upload("/v1/identify", palm[:1], {}), None


def head(request: str, *lines: str) -> bytes:
    """Returns the head of a request, after whose answer the connection ends."""
    return "\r\n".join(
        [f"{request} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]
    ).encode()


def upload(path: str, files: list[bytes], fields: dict[str, str]) -> bytes:
    """Returns a form with images."""
    part = b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    parts = [part % (name.encode(), b"", value.encode()) for name, value in fields.items()]
    parts += [part % (b"images", b'; filename="a.png"', file) for file in files]
    body = b"".join(parts) + b"--x--\r\n"
    form = "Content-Type: multipart/form-data; boundary=x"
    return head(f"POST {path}", form, f"Content-Length: {len(body)}") + body


def run(options: Options) -> Iterator[Row]:
    """Measures the capacity, and then sends twice as much."""
    palms = [draw(number) for number in range(PALMS)]
    seconds = options.sized(SECONDS)
    with place_of("sqlite") as place:
        settings = place.settings | {"PALM_LOG_LEVEL": "WARNING"}
        with start_server(settings, place.log, until="/health/ready") as server:
            before = asyncio.run(measure_capacity(server.port, palms))
            capacity = len(before.times) / CAPACITY_S
            rate = FACTOR * capacity
            print(f"overload: {rate:.0f} requests/s for {seconds} s", file=sys.stderr)
            idle_mb = peak_mb(server.process.pid)
            found, health, recovered_s = asyncio.run(press(server, palms, rate, seconds))
            rise_mb = peak_mb(server.process.pid) - idle_mb
    yield from judge(
        found, health, recovered_s, rise_mb, f"{capacity:.0f}/s, {rate:.0f}/s", seconds
    )


async def measure_capacity(port: int, palms: list[list[bytes]]) -> Answers:
    """Sends from a few clients, each as soon as it has its answer."""
    client = Client(port, palms)
    end = time.monotonic() + CAPACITY_S

    async def one() -> None:
        while time.monotonic() < end:
            await client.send()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return client.answers


async def press(
    server: Server, palms: list[list[bytes]], rate: float, seconds: int
) -> tuple[Answers, tuple[list[float], int], float]:
    """Sends requests at a rate.

    Returns:
        What the clients got; the times of /health/live in ms, and how many failed; and after how
        many s the service was as fast as before.
    """
    client, over = Client(server.port, palms), asyncio.Event()
    rng = random.Random(SEED)
    health = asyncio.create_task(asyncio.to_thread(probe, server.port, over.is_set))
    running = set[asyncio.Task[None]]()
    arrival, end = time.monotonic(), time.monotonic() + seconds
    while arrival < end:
        await asyncio.sleep(max(arrival - time.monotonic(), 0))
        running.add(task := asyncio.create_task(client.send()))
        task.add_done_callback(running.discard)
        arrival += rng.expovariate(rate)
    over.set()
    probed = await health
    stopped = time.monotonic()
    after = Client(server.port, palms)
    limit_ms = 2 * 1000 * CLIENTS / rate  # of as many as while the capacity was measured
    while time.monotonic() - stopped < TIMEOUT_S:
        await after.send()
        if after.answers.times and after.answers.times[-1] < limit_ms:
            break
    recovered_s = time.monotonic() - stopped
    await asyncio.gather(*running)
    return client.answers, probed, recovered_s


def judge(
    found: Answers,
    health: tuple[list[float], int],
    recovered_s: float,
    rise_mb: float,
    rates: str,
    seconds: int,
) -> list[Row]:
    """Returns what the clients got, and what the others noticed."""
    times, failures = health
    live_p50, live_p99 = np.percentile(times or [np.nan], [50, 99]).tolist()
    p50, p99 = np.percentile(found.times or [np.nan], [50, 99]).tolist()
    wrong = sum(n for status, n in found.statuses.items() if status[0] != "2" and status != "503")
    done = f"{seconds} s of requests that arrive at twice the capacity ({rates})"
    return [
        Row(
            "sqlite",
            done,
            "no answer but success and 503 with Retry-After; "
            f"after the last arrival an answer is fast again within {RECOVERY_S:g} s; "
            f"memory rises by {MEMORY_MB:g} MiB at most",
            f"{counted(found.statuses)}; {found.unadvised} without Retry-After; accepted: p50 "
            f"{p50:,.0f} ms, p99 {p99:,.0f} ms; fast after {recovered_s:.1f} s; {rise_mb:.0f} MiB",
            not wrong
            and not found.unadvised
            and recovered_s <= RECOVERY_S
            and rise_mb <= MEMORY_MB,
        ),
        Row(
            "sqlite",
            "/health/live meanwhile, on new connections",
            f"always answers, p99 {HEALTH_MS:g} ms",
            f"{failures} of {len(times)} failed, p50 {live_p50:.1f} ms, p99 {live_p99:.1f} ms",
            not failures and live_p99 <= HEALTH_MS,
        ),
    ]
