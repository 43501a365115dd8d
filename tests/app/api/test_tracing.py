"""Traces, sent to a real collector: a small HTTP server that understands OTLP."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.api import tracing
from app.settings import Settings
from tests.app.api.conftest import (
    enroll,
    identify,
    load_only,
    local_client,
    make_app,
    png,
    verify,
)
from tests.app.api.test_batch import HeldNet, audited, begun
from tests.app.live import live, wait_until

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector:
    """What a collector was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.bodies: list[bytes] = []

    def spans(self) -> list[Any]:
        sent = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for one in sent
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def requests(self) -> dict[str, Any]:
        """Returns the spans of requests by their names."""
        return {span.name: span for span in self.spans() if " " in span.name}


@contextmanager
def collecting() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.paths.append(self.path)
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_requests_and_their_stages_are_traced_without_naming_anybody(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        with local_client(make_app(settings)) as client:
            enroll(client, "ada-left", png(50), name="Ada Byron")
            parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "X-Request-ID": "mine"}
            client.headers.update(parent)
            found = identify(client, png(50, 1)).json()
            del client.headers["traceparent"]
            verify(client, "ada-left", png(50))
            client.get("/v1/subjects", params={"name": "Ada"})
            client.get("/v1/subjects/ada-left")
            client.get("/v1/subjects/ghost-left")
    assert set(collector.paths) == {"/v1/traces"}
    spans, requests = collector.spans(), collector.requests()
    identified = requests["POST /v1/identify"]
    assert attributes(identified) == {
        "http.request.method": "POST",
        "http.route": "/v1/identify",
        "http.response.status_code": 200,
        "palm.problem": "none",
        "palm.request_id": "mine",
        "palm.decision": found["decision"],
    }
    assert (identified.trace_id, identified.parent_span_id) == (b"\xab" * 16, b"\xcd" * 8)
    stages = {span.name: span for span in spans if span.parent_span_id == identified.span_id}
    assert stages.keys() == {"queue", "decode", "find", "nets", "search"}
    for name, span in stages.items():
        assert identified.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= identified.end_time_unix_nano
        if name != "queue":
            took_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
            assert took_ms == pytest.approx(found["timings_ms"][name], abs=0.06)
    unknown = requests["GET /v1/subjects/{subject_id}"]
    assert attributes(unknown)["http.route"] == "/v1/subjects/{subject_id}"
    sent = b"".join(collector.bodies).lower()
    assert b"palm-vein" in sent
    for secret in (b"ada", b"byron", b"ghost", b"secret-file-name", b"testclient"):
        assert secret not in sent


def test_a_palm_that_outlasts_its_request_warns_of_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    net = HeldNet()
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        with live(make_app(settings, load_only(net))) as server:
            with begun(server, png(1)):
                wait_until(lambda: net.asked)
            wait_until(lambda: "request" in [one.getMessage() for one in caplog.records])
            net.pass_on.release()
            wait_until(lambda: audited(settings)[-1].get("phase") == "done")
    assert [one for one in caplog.records if one.name.startswith("opentelemetry")] == []


def test_nothing_is_sent_unless_a_collector_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        # By these, FastAPI would send every path and query.
        monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
        monkeypatch.delenv(ENDPOINT, raising=False)
        with local_client(make_app(settings)) as client:
            assert identify(client, png(1)).status_code == 200
    assert collector.paths == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ENDPOINT, "http://127.0.0.1:9"),  # where nobody listens
        (ENDPOINT, "not a url"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ],
)
def test_requests_are_answered_whatever_is_wrong_with_the_collector(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_S", 0.05)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with local_client(make_app(settings)) as client:
        assert identify(client, png(1)).status_code == 200


def test_a_stop_does_not_wait_for_a_collector_that_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    was_in_time: list[bool] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            was_in_time.append(answer.wait(5))

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(tracing, "FLUSH_S", 0.2)
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{server.server_port}")
    with local_client(make_app(settings)) as client:
        assert identify(client, png(1)).status_code == 200
    answer.set()  # only now, after the stop
    server.shutdown()
    thread.join()
    server.server_close()
    assert was_in_time[0]
