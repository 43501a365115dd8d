"""Places to compute in, and clients that leave before they get one."""

import asyncio
import logging
import threading

import numpy as np
import pytest
from fastapi import Request
from numpy.typing import NDArray
from starlette.types import Message

from app.api import admission as admission_module
from app.api.admission import Admission, ClientGone
from app.api.errors import Overloaded
from app.matching.maps import VeinMaps
from app.settings import Settings
from tests.app.api.conftest import ToyNet, load_only, make_app, png
from tests.app.live import connect, head, live, read_answer, status_of, wait_until


def request_of(gone: asyncio.Event) -> Request:
    """Returns a request whose client disconnects when the event is set."""

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


async def hold(admission: Admission, request: Request) -> None:
    async with admission.place(request):
        pass


def test_a_client_that_leaves_while_it_waits_frees_its_place_in_the_queue() -> None:
    async def run() -> None:
        admission, gone = Admission(1, 2, 60.0), asyncio.Event()
        async with admission.place(request_of(asyncio.Event())):
            waiting = asyncio.create_task(hold(admission, request_of(gone)))
            await asyncio.sleep(0)
            gone.set()
            with pytest.raises(ClientGone):
                await waiting
        await hold(admission, request_of(asyncio.Event()))

    asyncio.run(run())


def test_a_client_that_left_before_gets_no_place() -> None:
    async def run() -> None:
        admission, gone = Admission(1, 2, 60.0), asyncio.Event()
        gone.set()
        with pytest.raises(ClientGone):
            await hold(admission, request_of(gone))
        await hold(admission, request_of(asyncio.Event()))

    asyncio.run(run())


def test_a_client_that_waits_too_long_is_refused() -> None:
    async def run() -> None:
        admission = Admission(1, 2, 0.01)
        async with admission.place(request_of(asyncio.Event())):
            with pytest.raises(Overloaded):
                await hold(admission, request_of(asyncio.Event()))

    asyncio.run(run())


def test_a_client_is_refused_at_once_while_many_others_wait() -> None:
    async def run() -> None:
        admission = Admission(1, 2, 60.0)
        async with admission.place(request_of(asyncio.Event())):
            others = [
                asyncio.create_task(hold(admission, request_of(asyncio.Event()))) for _ in range(2)
            ]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="1 requests are being computed, 2 wait"):
                await hold(admission, request_of(asyncio.Event()))
        await asyncio.gather(*others)
        await hold(admission, request_of(asyncio.Event()))

    asyncio.run(run())


def test_a_client_whose_wait_would_be_too_long_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(admission_module, "monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        admission = Admission(2, 100, 60.0)
        for _ in range(100):  # until the mean is theirs
            async with admission.place(request_of(asyncio.Event())):
                now += 50.0
        async with (
            admission.place(request_of(asyncio.Event())),
            admission.place(request_of(asyncio.Event())),
        ):
            admission.refuse_overload()  # one of the two is done in 25 s
            first, second = (
                asyncio.create_task(hold(admission, request_of(asyncio.Event()))) for _ in "12"
            )
            await asyncio.sleep(0)
            assert (admission.busy, admission.waiting) == (2, 2)
            with pytest.raises(Overloaded) as refused:  # the third one is done in 75 s
                admission.refuse_overload()
            assert 70 <= refused.value.retry_after_s <= 75
        await asyncio.gather(first, second)
        assert (admission.busy, admission.waiting) == (0, 0)

    asyncio.run(run())


def test_batches_wait_in_turn_and_never_hold_every_place() -> None:
    async def run() -> None:
        admission, release = Admission(3, 0, 60.0), asyncio.Event()

        async def palm() -> None:
            async with admission.place_in_batch():
                await release.wait()

        palms = [asyncio.create_task(palm()) for _ in range(5)]
        await asyncio.sleep(0)
        assert (admission.busy, admission.waiting) == (2, 0)
        async with admission.place(request_of(asyncio.Event())):
            assert admission.busy == 3
            with pytest.raises(Overloaded):
                admission.refuse_overload()
        release.set()
        await asyncio.gather(*palms)
        assert admission.busy == 0

    asyncio.run(run())


def test_an_overload_is_refused_before_the_body_is_sent(settings: Settings) -> None:
    net = SlowNet()
    one = settings.model_copy(update={"max_concurrent": 1, "queue_length": 0})
    with live(make_app(one, load_only(net))) as server, connect(server) as first:
        first.sendall(upload())
        wait_until(lambda: net.asked)
        with connect(server) as second:
            second.sendall(upload()[: -len(png(1))])
            answer = read_answer(second)
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
        net.leave.set()
        assert status_of(first) == 200
    assert net.asked == 1


class SlowNet(ToyNet):
    """A net that computes until it is released, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__("alexnet", 0)
        self.asked = 0
        self.leave = threading.Event()

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        self.asked += 1
        assert self.leave.wait(20)
        return super().maps(images)


def test_the_work_of_a_client_that_left_is_not_begun(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app")
    net = SlowNet()
    patient = settings.model_copy(update={"max_concurrent": 1, "queue_timeout_s": 60})
    app = make_app(patient, load_only(net))
    with live(app) as server, connect(server) as first:
        first.sendall(upload())
        wait_until(lambda: net.asked)
        with connect(server) as second:
            second.sendall(upload())
            wait_until(lambda: app.state.service.admission.waiting)
        wait_until(lambda: 400 in [line.get("status") for line in lines(caplog)])
        net.leave.set()
        assert status_of(first) == 200
    assert net.asked == 1


def upload() -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    body = part + png(1) + b"\r\n--x--\r\n"
    kind, size = "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(body)}"
    return head("POST /v1/identify", kind, size) + body


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [getattr(record, "fields", {}) for record in caplog.records]
