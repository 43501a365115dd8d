"""Many palms in one request: a line for each, as it becomes ready."""

import asyncio
import gc
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.types import Message

from app.connections import Server
from app.matching.maps import VeinMaps
from app.settings import Settings
from tests.app.api.conftest import (
    ToyNet,
    assert_problem,
    enroll,
    identify,
    images,
    load_only,
    local_client,
    make_app,
    png,
)
from tests.app.api.test_access import key
from tests.app.live import PATIENCE_S, connect, head, live, status_of, wait_until

BATCH = "/v1/identify/batch"
PER_ANSWER = {"request_id", "timings_ms"}
BROKEN = b"\x89PNG\r\n\x1a\n"


def send(client: TestClient, *files: bytes, **options: Any) -> Any:
    return client.post(BATCH, files=images(*files), **options)


def lines_of(answer: Any) -> list[dict[str, Any]]:
    """Returns the lines of an answer, in the order of the images."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return sorted(map(json.loads, answer.text.splitlines()), key=lambda line: line["index"])


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in PER_ANSWER}


def audited(settings: Settings) -> list[dict[str, Any]]:
    assert settings.audit_file is not None
    read = map(json.loads, settings.audit_file.read_text().splitlines())
    return [line for line in read if line.get("route") == BATCH]


def test_each_palm_gets_the_answer_that_it_gets_alone(client: TestClient) -> None:
    files = [png(1, 1), BROKEN, png(9), png(2, 1)]
    for line, file in zip(lines_of(send(client, *files)), files, strict=True):
        alone = identify(client, file)
        if file is BROKEN:
            problem = {**alone.json(), "instance": BATCH}
            assert told(line["problem"]) == told(problem)
            assert line.keys() == {"index", "problem"}
        else:
            assert told(line["identification"]) == told(alone.json())
            assert line.keys() == {"index", "identification"}


def test_as_many_palms_as_may_be_are_answered_and_no_more(settings: Settings) -> None:
    eight = settings.model_copy(update={"max_concurrent": 8})
    with local_client(make_app(eight)) as client:
        lines = lines_of(send(client, *[BROKEN] * 256))
        assert [line["index"] for line in lines] == list(range(256))
        assert {line["problem"]["status"] for line in lines} == {422}
        assert_problem(send(client, *[BROKEN] * 257), 422, "images: ", "256")


def test_every_palm_counts_for_the_rate_limit(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit": "10/minute"})
    with local_client(make_app(limited)) as client:
        assert len(lines_of(send(client, *[BROKEN] * 8))) == 8
        assert_problem(send(client, *[BROKEN] * 3), 429, "more than 10 per 1 minute")


def test_collections_and_scores_are_limited_as_for_one_palm(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    [line] = lines_of(send(client, png(50, 1), data={"collections": "staff"}))
    assert line["identification"]["searched"] == 1
    without_scores = {"headers": key(client, "identify")}
    [line] = lines_of(send(client, png(50, 1), **without_scores))
    score = line["identification"]["candidates"][0]["score"]
    assert score == np.floor(score * 2) / 2


def test_the_audit_log_has_each_decision_and_no_id(client: TestClient, settings: Settings) -> None:
    answer = send(client, png(1, 1), BROKEN)
    request, *palms, end = audited(settings)
    assert {line["request_id"] for line in (request, *palms, end)} == {
        answer.headers["x-request-id"]
    }
    assert (request["status"], request["images"]) == (200, 2)
    assert [(one["index"], one["status"], one.get("decision")) for one in palms] == [
        (0, 200, "match"),
        (1, 422, None),
    ]
    assert palms[0]["subject"]
    assert "subject" not in palms[1]
    assert (end["phase"], end["images"], end["answered"]) == ("done", 2, 2)
    assert "p001" not in json.dumps(audited(settings))


class HeldNet(ToyNet):
    """A net that lets one image pass each time that it is released, and tells which ones came."""

    def __init__(self) -> None:
        super().__init__("alexnet", 0)
        self.asked: list[float] = []  # the images' mean brightness
        self.pass_on = threading.Semaphore(0)

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        self.asked.append(float(images.mean()))
        assert self.pass_on.acquire(timeout=PATIENCE_S)
        return super().maps(images)


def upload(path: str, *files: bytes) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n%b\r\n'
    body = b"".join(part % file for file in files) + b"--x--\r\n"
    kind, size = "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(body)}"
    return head(f"POST {path}", kind, size) + body


@contextmanager
def begun(server: Server, *files: bytes) -> Iterator[HTTPResponse]:
    """Sends a batch and yields its answer, of which the head is read."""
    with connect(server) as connection:
        connection.sendall(upload(BATCH, *files))
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        yield response
        response.close()


def next_line(response: HTTPResponse) -> dict[str, Any]:
    return json.loads(response.readline())


def test_a_line_is_sent_as_soon_as_it_is_ready(settings: Settings) -> None:
    net = HeldNet()
    with (
        live(make_app(settings, load_only(net))) as server,
        begun(server, png(1), png(2)) as answer,
    ):
        for index in (0, 1):
            net.pass_on.release()
            assert next_line(answer)["index"] == index
        assert answer.readline() == b""


def test_a_batch_leaves_a_place_to_others(settings: Settings) -> None:
    net = HeldNet()
    with live(make_app(settings, load_only(net))) as server, begun(server, *[png(1)] * 5):
        wait_until(lambda: net.asked)
        with connect(server) as other:
            other.sendall(upload("/v1/identify", png(2)))
            wait_until(lambda: len(net.asked) == 2)
            for _ in range(6):
                net.pass_on.release()
            assert status_of(other) == 200
        of_batch, of_other, *_ = net.asked
        assert of_batch != of_other


def test_a_client_that_leaves_ends_its_batch(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app")
    net = HeldNet()
    with live(make_app(settings, load_only(net))) as server:
        with begun(server, *[png(1)] * 50) as answer:
            net.pass_on.release()
            assert next_line(answer)["index"] == 0
            wait_until(lambda: len(net.asked) == 2)
        wait_until(
            lambda: BATCH in [getattr(one, "fields", {}).get("path") for one in caplog.records]
        )
        net.pass_on.release()  # the palm that was begun
        wait_until(lambda: audited(settings)[-1].get("phase") == "done")
        assert len(net.asked) == 2
        assert (audited(settings)[-1]["images"], audited(settings)[-1]["answered"]) == (50, 1)
        net.pass_on.release()
        with connect(server) as other:
            other.sendall(upload("/v1/identify", png(2)))
            assert status_of(other) == 200


def test_a_client_that_stops_reading_and_then_leaves_ends_its_batch(settings: Settings) -> None:
    net = HeldNet()
    app = make_app(settings, load_only(net))
    request, _, body = upload(BATCH, *[png(1)] * 50).partition(b"\r\n\r\n")
    fields = [line.split(b": ") for line in request.split(b"\r\n")[1:]]

    async def answer() -> None:
        received = iter([{"type": "http.request", "body": body, "more_body": False}])
        blocked, gone = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            if (message := next(received, None)) is not None:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                blocked.set()
                await asyncio.Event().wait()  # nobody reads, and the buffers are full

        scope = {
            **{"type": "http", "asgi": {"spec_version": "2.3"}, "http_version": "1.1"},
            **{"method": "POST", "path": BATCH, "raw_path": BATCH.encode(), "query_string": b""},
            **{"scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)},
            "headers": [(name.lower(), value) for name, value in fields],
        }
        async with app.router.lifespan_context(app):
            net.pass_on.release()
            request = asyncio.create_task(app(scope, receive, send))
            await asyncio.wait_for(blocked.wait(), PATIENCE_S)
            await asyncio.to_thread(wait_until, lambda: len(net.asked) == 2)
            gone.set()
            await asyncio.wait_for(request, PATIENCE_S)
            net.pass_on.release(50)
            await asyncio.to_thread(
                wait_until, lambda: audited(settings)[-1].get("phase") == "done"
            )

    gc.disable()  # the end must not wait for it
    try:
        asyncio.run(answer())
    finally:
        gc.enable()
    assert len(net.asked) == 2


def test_nothing_is_told_of_a_palm_that_the_audit_log_lacks(settings: Settings) -> None:
    net = HeldNet()
    assert settings.audit_file is not None
    with (
        live(make_app(settings, load_only(net))) as server,
        begun(server, png(1), png(2)) as answer,
    ):
        net.pass_on.release()
        assert next_line(answer)["identification"]["decision"] == "match"
        wait_until(lambda: len(net.asked) == 2)
        settings.audit_file.unlink()
        settings.audit_file.mkdir()
        net.pass_on.release()
        line = next_line(answer)
        assert line.keys() == {"index", "problem"}
        assert line["problem"]["type"].endswith("audit-unusable")
