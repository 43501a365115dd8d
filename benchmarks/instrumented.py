"""The service as it is shipped, with what a benchmark measures inside of it.

    BENCHMARK_LOOP=FILE [BENCHMARK_CANNED=IMAGE] python -m benchmarks.instrumented

Started as `python -m app` is. When it stops, FILE holds the delays of the event loop: for each,
when it was measured, by `time.monotonic`, and the ms. With BENCHMARK_CANNED, that image is
identified once, and every identification gets a copy of that answer: what remains is HTTP alone.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import app.__main__ as command_line
from app.answers import Identification
from app.main import create_app

EVERY_S = 0.005
"""How long the event loop is asked to sleep; what it sleeps beyond is the delay."""


class Canned:
    """Answers every identification alike."""

    def __init__(self, identifier: Any, answer: Identification) -> None:
        self._identifier = identifier
        self._answer = answer

    def identify(self, *_arguments: Any, **_options: Any) -> Identification:
        """Returns the answer."""
        return self._answer.model_copy()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._identifier, name)


def create_instrumented(*arguments: Any, **options: Any) -> FastAPI:
    """Creates the application as `app.main.create_app` does."""
    app = create_app(*arguments, **options)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Any]:
        delays: list[tuple[float, float]] = []
        async with start(app) as state:
            if image := os.environ.get("BENCHMARK_CANNED"):
                service = app.state.service
                answer = service.identifier.identify([Path(image).read_bytes()])
                canned: Any = Canned(service.identifier, answer)
                app.state.service = replace(service, identifier=canned)
            measuring = asyncio.create_task(measure_delays(delays))
            yield state
            measuring.cancel()
        with suppress(KeyError):
            Path(os.environ["BENCHMARK_LOOP"]).write_text(json.dumps(delays))

    app.router.lifespan_context = lifespan
    return app


async def measure_delays(delays: list[tuple[float, float]]) -> None:
    """Adds a delay of the event loop every few ms."""
    while True:
        started = time.monotonic()
        await asyncio.sleep(EVERY_S)
        now = time.monotonic()
        delays.append((now, (now - started - EVERY_S) * 1e3))


if __name__ == "__main__":
    command_line.create_app = create_instrumented
    sys.exit(command_line.main([]))
