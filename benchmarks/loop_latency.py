"""Measures how long the service's event loop is kept waiting, idle and under full load.

    python -m benchmarks.loop_latency [--seconds 10] [--clients 32] [--json PATH]

A timer in the event loop of a service that starts as `make run` does tells how late it fires. The
clients identify square crops, each as soon as it has its answer; a refused one waits as long as the
answer says. The service runs twice, with its own interval of switching threads and with Python's.
The second table is what the event loop does for each upload: to parse the form, in CPU time.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Receive, Scope, Send

import app.__main__ as command
import app.main
from app.connections import READ_BYTES
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import REPOSITORY, start_server
from benchmarks.torture.overload import upload
from training.report.files import write_text

TICK_S = 0.002
WARM_UP = 20  # requests
LAGS = "lags.json"
INTERVALS = {"the service's": app.main.SWITCH_S, "Python's": 0.005}
FORM_BYTES = (8_000, 25_000, 1_000_000, 8_000_000)
PARSES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the event loop's latency.")
    parser.add_argument("--seconds", type=float, default=10, help="of load, and half of it idle")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        sys.exit(serve(arguments.serve))
    machine = describe_machine()
    rows = [
        {"interval": name, **measure(switch_s, arguments.clients, arguments.seconds)}
        for name, switch_s in INTERVALS.items()
    ]
    forms = [{"bytes": size, "ms": parse_ms(size)} for size in FORM_BYTES]
    report = {"machine": machine, "clients": arguments.clients, "rows": rows, "forms": forms}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


class Timed:
    """An application whose event loop is timed from its start on."""

    def __init__(self, app: ASGIApp, lags: list[tuple[float, float]]) -> None:
        self._app = app
        self._lags = lags
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        self._task = self._task or asyncio.create_task(self._time())
        await self._app(scope, receive, send)

    async def _time(self) -> None:
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._lags.append((due, time.monotonic() - due))


def serve(switch_s: float) -> int:
    """Serves until it is stopped; writes when the timer was due and how late it fired, in s."""
    lags: list[tuple[float, float]] = []
    create = command.create_app
    command.create_app = lambda settings: Timed(create(settings), lags)  # pyright: ignore
    app.main.SWITCH_S = switch_s
    status = command.main([])
    Path(LAGS).write_text(json.dumps(lags))
    return status


def measure(switch_s: float, clients: int, seconds: float) -> dict[str, Any]:
    """Returns the latency in ms of an idle and of a loaded service, and its answers."""
    files = [path.read_bytes() for path in sorted((REPOSITORY / "samples/known").rglob("*.png"))]
    requests = [upload("/v1/identify", [file], {}) for file in files]
    with TemporaryDirectory() as folder:
        with start_server(
            {"PALM_LOG_LEVEL": "WARNING", "PALM_GALLERY_URL": f"sqlite:///{folder}/gallery.db"},
            Path(folder, "log"),
            until="/health/ready",
            command=[sys.executable, "-m", "benchmarks.loop_latency", "--serve", str(switch_s)],
        ) as server:
            for number in range(WARM_UP):
                asyncio.run(ask(server.port, requests[number % len(requests)]))
            started = time.monotonic()
            time.sleep(seconds / 2)
            loaded = time.monotonic()
            statuses = asyncio.run(press(server.port, requests, clients, seconds))
            ended = time.monotonic()
            server.process.terminate()
            server.process.wait()
        lags = np.array(json.loads(Path(folder, LAGS).read_text()))
    due, late_ms = lags[:, 0], lags[:, 1] * 1e3
    return {
        "switch_ms": switch_s * 1e3,
        "idle": _percentiles(late_ms[(due >= started) & (due < loaded)]),
        "loaded": _percentiles(late_ms[(due >= loaded) & (due < ended)]),
        "statuses": dict(statuses),
        "per_s": round(statuses[200] / (ended - loaded), 1),
    }


async def press(port: int, requests: list[bytes], clients: int, seconds: float) -> Counter[int]:
    """Sends from clients, each as soon as it may; returns the number of answers by status."""
    statuses = Counter[int]()
    end = time.monotonic() + seconds

    async def one(rng: random.Random) -> None:
        while time.monotonic() < end:
            status, retry_after_s = await ask(port, rng.choice(requests))
            statuses[status] += 1
            # Not all at once, whom one moment refused.
            await asyncio.sleep(retry_after_s * rng.uniform(0.5, 1.5))

    await asyncio.gather(*(one(random.Random(number)) for number in range(clients)))
    return statuses


async def ask(port: int, request: bytes) -> tuple[int, float]:
    """Returns the status of the answer, and its Retry-After in s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.read()
    finally:
        writer.transport.abort()
    _, found, rest = head.partition("retry-after: ")
    return int(head[9:12]), float(rest.split()[0]) if found else 0.0


def parse_ms(size: int) -> float:
    """Returns the median CPU time in ms of parsing a form with an image of `size` bytes."""
    image = random.Random(size).randbytes(size)
    body = upload("/", [image], {}).partition(b"\r\n\r\n")[2]

    async def parse() -> float:
        async def pieces():
            for start in range(0, len(body), READ_BYTES):
                yield body[start : start + READ_BYTES]

        started = time.process_time()
        headers = Headers({"content-type": "multipart/form-data; boundary=x"})
        form = await MultiPartParser(headers, pieces()).parse()
        took = time.process_time() - started
        await form.close()
        return took

    return round(float(np.median([asyncio.run(parse()) for _ in range(PARSES)])) * 1e3, 3)


def _percentiles(late_ms: Any) -> dict[str, float]:
    names, ranks = ("p50", "p99", "max"), (50, 99, 100)
    return {
        name: round(float(value), 2)
        for name, value in zip(names, np.percentile(late_ms, ranks), strict=True)
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as two tables."""
    lines = [
        f"{report['clients']} clients. {as_sentence(report['machine'])}.",
        "",
        "| threads switch after, ms | idle: p50, p99, max ms | full load: p50, p99, max ms "
        "| answers/s | 200, 503 |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        idle, loaded = (", ".join(map(str, row[phase].values())) for phase in ("idle", "loaded"))
        counts = f"{row['statuses'].get(200, 0)}, {row['statuses'].get(503, 0)}"
        lines.append(
            f"| {row['interval']} {row['switch_ms']:g} | {idle} | {loaded} | {row['per_s']} "
            f"| {counts} |"
        )
    lines += ["", "| image's bytes | parsing its form, CPU ms |", "|---|---|"]
    lines += [f"| {form['bytes']:,} | {form['ms']} |" for form in report["forms"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
