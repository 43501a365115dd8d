"""OpenTelemetry traces of requests and their stages, if a collector is named.

Spans hold only what is set here.
"""

import logging
import os
import threading
from collections.abc import Mapping
from time import time_ns
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

logger = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
FLUSH_S = 3.0
"""How long a stop waits for the collector to take the last spans."""

NO_TELEMETRY = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False
)
"""FastAPI's own, which would send paths, queries and exceptions, and so ids and names."""


class Tracing:
    """Makes spans, and sends them in the background; of those it cannot send, it drops the oldest.

    Switched off, it makes spans that hold nothing.
    """

    def __init__(self) -> None:
        """Starts nothing."""
        self._tracer: Tracer = NoOpTracer()
        self._provider: Any = None
        self._exporter: Any = None

    def start(self) -> None:
        """Begins to send spans if `ENDPOINT` is set; other OTEL_* variables are the library's.

        Whatever is wrong with them is logged, and no span is sent.
        """
        if not os.environ.get(ENDPOINT):
            return
        try:
            self._provider, self._exporter = _provider()
            self._tracer = self._provider.get_tracer("palm-vein")
            logger.info("traces are sent to %s", ENDPOINT)
        except Exception:  # of the library, about any of its variables
            logger.exception(
                "no traces are sent: correct the OTEL_* variables, or unset %s", ENDPOINT
            )

    def close(self) -> None:
        """Sends the last spans, and waits for `FLUSH_S` at most."""
        if self._provider is not None:
            last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
            last.start()
            last.join(FLUSH_S)
            if last.is_alive():
                self._exporter.shutdown()  # it would go on trying

    def begin(self, headers: Mapping[str, str]) -> Span:
        """Returns the span of a request, which continues the caller's trace if it names one."""
        if self._provider is None:
            return INVALID_SPAN
        parent = TraceContextTextMapPropagator().extract(headers)
        return self._tracer.start_span("request", context=parent, kind=SpanKind.SERVER)

    def add_stages(self, request: Span, timings_ms: Mapping[str, float]) -> None:
        """Adds stages that end now to a request's span; of several images they are joined."""
        if not request.is_recording():
            return
        stages = {name: ms for name, ms in timings_ms.items() if name != "total"}
        start = time_ns() - int(sum(stages.values()) * 1e6)
        for name, duration_ms in stages.items():
            end = start + int(duration_ms * 1e6)
            within = set_span_in_context(request)
            self._tracer.start_span(name, context=within, start_time=start).end(end_time=end)
            start = end


def end_request(
    span: Span, method: str, route: str, status: int, problem: str, request_id: str
) -> None:
    """Ends the span of a request; see `Metrics.count_request`."""
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "palm.problem": problem,
            "palm.request_id": request_id,
        }
    )
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    span.end()


def _provider() -> tuple[Any, Any]:
    """Returns what makes spans, and what sends them.

    Here alone the SDK is imported, which takes memory and time.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "palm-vein")
    # Not the process's own: what other libraries would put into spans is not known.
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, exporter
