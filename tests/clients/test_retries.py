"""What is sent again, when, and what is not; against a small server of our own."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from palm_vein_client import AsyncPalmClient, PalmClient, Retries, errors
from palm_vein_client.retries import retry_after_s

ALIVE = b'{"status": "alive"}'
Answer = tuple[int, dict[str, str], bytes] | None
"""Status, headers and body; None closes the connection without an answer."""
OK: Answer = (200, {}, ALIVE)


class Served:
    """A server that gives its answers in turn, and keeps the requests' heads."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""


@contextmanager
def serving(*answers: Answer) -> Iterator[Served]:
    served = Served(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            served.asked.append((f"{self.command} {self.path}", dict(self.headers)))
            answer = served.answers.pop(0)
            if answer is not None:
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def busy(after: str | None = None, status: int = 503) -> Answer:
    return status, {} if after is None else {"Retry-After": after}, b""


LARGEST = Retries(attempts=4, first_s=0.5, longest_s=30.0, draw=lambda _, most: most)


def ask(url: str, waits: list[float], retries: Retries = LARGEST) -> str:
    with PalmClient(url, retries=retries, sleep=waits.append) as client:
        return client.live().status


def test_the_wait_grows_and_is_as_long_as_the_service_asks() -> None:
    waits: list[float] = []
    with serving(busy(), busy("7"), busy("0", 429), OK) as served:
        assert ask(served.url, waits) == "alive"
    assert waits == [0.5, 7.0, 2.0]


def test_the_asynchronous_client_waits_alike() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def ask_there(url: str) -> str:
        async with AsyncPalmClient(url, retries=LARGEST, sleep=sleep) as client:
            return (await client.live()).status

    with serving(busy(), busy("7"), None, OK) as served:
        assert asyncio.run(ask_there(served.url)) == "alive"
    assert waits == [0.5, 7.0, 2.0]


def test_a_lost_connection_is_tried_again() -> None:
    waits: list[float] = []
    with serving(None, OK) as served:
        assert ask(served.url, waits) == "alive"
    assert waits == [0.5]


def test_an_answer_that_does_not_come_in_time_is_told() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    never = Retries(attempts=1)
    with (
        PalmClient(retries=never, transport=httpx.MockTransport(answer)) as client,
        pytest.raises(errors.ConnectionFailed, match="no answer in time"),
    ):
        client.live()


def test_the_last_failure_is_raised() -> None:
    waits: list[float] = []
    with serving(*[busy()] * 4) as served, pytest.raises(errors.ProblemError) as failed:
        ask(served.url, waits)
    assert failed.value.status == 503
    assert len(waits) == 3


def test_nobody_waits_longer_than_is_allowed() -> None:
    waits: list[float] = []
    with serving(busy("31")) as served, pytest.raises(errors.ProblemError) as failed:
        ask(served.url, waits)
    assert failed.value.retry_after_s == 31.0
    assert waits == []


def test_other_errors_are_not_repeated() -> None:
    waits: list[float] = []
    with serving(busy(status=500)) as served, pytest.raises(errors.ProblemError):
        ask(served.url, waits)
    assert waits == []


def test_what_may_have_been_done_is_not_repeated() -> None:
    for change in (
        lambda client: client.change_subject("ada", name="Ada"),
        lambda client: client.erase_subject("ada"),
        lambda client: client.rename_subject("ada", "bob"),
        lambda client: client.merge_subjects("ada", "bob"),
        lambda client: client.create_key("door", ["verify"]),
    ):
        with serving(None) as served, PalmClient(served.url) as client:
            with pytest.raises(errors.ConnectionFailed):
                change(client)
            assert len(served.asked) == 1


def test_an_enrolment_is_repeated_under_one_key() -> None:
    refused = (409, {}, b'{"type": "urn:palm:problem:subject-exists", "title": "Exists"}')
    with (
        serving(busy(), None, refused, refused) as served,
        PalmClient(served.url, sleep=lambda _: None) as client,
    ):
        for _ in range(2):
            with pytest.raises(errors.SubjectExists):
                client.enroll("ada", b"x")
    first, second, third, other = [head["Idempotency-Key"] for _, head in served.asked]
    assert first == second == third != other


def test_what_is_no_service_is_said_so() -> None:
    page = (200, {}, b"<html>")
    with serving(page) as served, pytest.raises(errors.AnswerInvalid, match="GET /health/live"):
        ask(served.url, [])
    moved = (301, {"Location": "http://example.org"}, b"")
    with serving(moved) as served, pytest.raises(errors.ProblemError, match="301"):
        ask(served.url, [])


def test_a_batch_that_is_cut_short_is_an_error() -> None:
    with (
        serving((200, {}, b"")) as served,
        PalmClient(served.url) as client,
        pytest.raises(errors.AnswerCutShort, match="0 of 2"),
    ):
        list(client.identify_batch([b"x", b"y"]))


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_s("12") == 12.0
    assert retry_after_s(formatdate(0, usegmt=True)) == 0.0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
