"""Measures every request: middleware around all routes, and what the routes tell of answers."""

from time import perf_counter
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from opentelemetry.trace import Span
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import answers
from app.api.handlers import METHODS
from app.api.metrics import Metrics, metrics_of
from app.api.tracing import Tracing, end_request

OTHER = "other"
"""Method or route of a request that none of ours answers: nobody can make up new labels."""


class Measured:
    """Counts and times each request, and traces it; see `Metrics` and `Tracing`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = perf_counter(), 500  # what the server answers if the application raises
        state: dict[str, Any] = scope["state"]
        metrics: Metrics = scope["app"].state.metrics
        tracing: Tracing = scope["app"].state.tracing
        span = state["span"] = tracing.begin(Headers(scope=scope))

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            method = scope["method"] if scope["method"] in METHODS else OTHER
            route = route_of(scope)
            problem = "none" if status < 400 else state.get("problem") or str(status)
            metrics.count_request(method, route, status, problem, perf_counter() - start)
            end_request(span, method, route, status, problem, state["request_id"])


def route_of(scope: Scope) -> str:
    """Returns the path of the route that answered, with the names of its parameters."""
    route = scope.get("route")
    return route.path if isinstance(route, APIRoute) else OTHER


def note_wait(request: Request, seconds: float) -> None:
    """Tells how long a request waited for its place to compute."""
    metrics_of(request).count_wait(seconds)
    _add_stages(request, {"queue": 1000 * seconds})


def note_stages(request: Request, timings_ms: dict[str, float]) -> None:
    """Tells how long the stages of an answer took; see `Clock.timings_ms`."""
    metrics_of(request).count_stages(timings_ms)
    _add_stages(request, timings_ms)


def note_decision(
    request: Request, operation: str, found: answers.Identification | answers.Verification
) -> None:
    """Tells what was decided about one palm, and how long it took."""
    metrics_of(request).count_decision(operation, found)
    span: Span = request.state.span
    if span.is_recording():  # a batch whose client has left has ended it
        span.set_attribute("palm.decision", found.decision)
    note_stages(request, found.timings_ms)


def _add_stages(request: Request, timings_ms: dict[str, float]) -> None:
    tracing: Tracing = request.app.state.tracing
    tracing.add_stages(request.state.span, timings_ms)
