"""Measures what counting, and tracing, cost an identification, and what one scrape costs.

    python -m benchmarks.monitoring

The same answer is sent by a bare ASGI application and by one that is measured as the service's
routes are. 1 minute, no nets, no gallery.
"""

import asyncio
import logging
import os
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import Candidate, Identification, Threshold
from app.api.measured import Measured, note_decision, note_wait
from app.api.metrics import Metrics, as_text
from app.api.routers import ROUTERS
from app.api.tracing import ENDPOINT, Tracing
from benchmarks.machine import as_sentence, describe_machine

REQUESTS = 2_000
ROUNDS = 15

FOUND = Identification.model_construct(
    decision="match",
    candidates=[Candidate(subject_id="p001", confidence=0.99, score=13.84)],
    threshold=Threshold(score=7.4, fmr=6.25e-5),
    timings_ms={"decode": 2.9, "find": 6.1, "nets": 29.5, "search": 3.5, "total": 42.0},
)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends an empty answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def noting(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the same, and tells what the route of identifications tells."""
    request = Request(scope)
    note_wait(request, 1e-5)
    note_decision(request, "identify", FOUND)
    await bare(scope, receive, send)


async def microseconds(app: ASGIApp, state: Any) -> float:
    """Returns the time of one request, the mean of `REQUESTS`."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    start = perf_counter()
    for _ in range(REQUESTS):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/identify",
            "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data")],
            "app": SimpleNamespace(state=state),
            "state": {"request_id": "0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071"},
        }
        await app(scope, receive, send)
    return 1e6 * (perf_counter() - start) / REQUESTS


def scrape_ms() -> tuple[float, int]:
    """Returns the time of writing the metrics of a service that used every route, and the bytes."""
    metrics = Metrics()
    for router in ROUTERS:
        for route in router.routes:
            for status, problem in ((200, "none"), (422, "request-invalid"), (503, "overloaded")):
                metrics.count_request("POST", getattr(route, "path", ""), status, problem, 0.01)
    metrics.count_decision("identify", FOUND)
    metrics.count_stages(FOUND.timings_ms)
    took: list[float] = []
    text = b""
    for _ in range(ROUNDS):
        start = perf_counter()
        text = as_text(metrics.collect())
        took.append(1e3 * (perf_counter() - start))
    return median(took), len(text)


def main() -> None:
    """Prints the table."""
    logging.getLogger("opentelemetry").disabled = True
    machine = as_sentence(describe_machine())
    counted = SimpleNamespace(metrics=Metrics(), tracing=Tracing())
    traced = SimpleNamespace(metrics=Metrics(), tracing=Tracing())
    os.environ[ENDPOINT] = "http://127.0.0.1:9"  # where nobody listens
    logging.disable()
    traced.tracing.start()
    rounds: dict[str, list[float]] = {"bare": [], "counted": [], "counted and traced": []}
    for _ in range(ROUNDS):  # in turn, so that other work on the machine is in all of them
        rounds["bare"].append(asyncio.run(microseconds(bare, counted)))
        rounds["counted"].append(asyncio.run(microseconds(Measured(noting), counted)))
        rounds["counted and traced"].append(asyncio.run(microseconds(Measured(noting), traced)))
    traced.tracing.close()
    print(f"{machine}\n\n| one request | µs | added µs |\n|---|---|---|")
    for name, took in rounds.items():
        added = median(took) - median(rounds["bare"])
        print(f"| {name} | {median(took):.0f} | {added:.0f} |")
    took_ms, size = scrape_ms()
    print(f"\none scrape of every route: {took_ms:.1f} ms, {size:,} bytes")


if __name__ == "__main__":
    main()
