"""New nets without a restart: nobody notices, and whatever fails leaves the former nets."""

import gc
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.api.errors import ReloadRefused
from app.ensemble import Ensemble, NetsDisagree
from app.matching.fusion import Fusion
from app.matching.maps import VeinMaps
from app.matching.templates import NetKey
from app.nets.files import NetUnusable
from app.reloading import Reloader, reload_on_hangup
from app.settings import Settings
from tests.app.api.conftest import (
    ToyNet,
    assert_problem,
    enroll,
    identify,
    local_client,
    make_app,
    png,
)
from tests.app.live import PATIENCE_S, wait_until

RELOAD = "/v1/models/reload"


class Store:
    """A models store whose newest version can be changed."""

    def __init__(self) -> None:
        self.newest: Ensemble | Exception = of_version(1)
        self.is_held: threading.Event | None = None  # a load waits for it
        self.entered = threading.Event()

    def load(self, *_: Any) -> Ensemble:
        if self.is_held is not None:
            self.entered.set()
            assert self.is_held.wait(PATIENCE_S)
        if isinstance(self.newest, Exception):
            raise self.newest
        return self.newest


def of_version(version: int, *, seed: int = 0, net: type[ToyNet] = ToyNet) -> Ensemble:
    """Returns an ensemble of one net; another seed makes templates that cannot be compared."""
    made = net("alexnet", seed)
    made.key = NetKey("alexnet", version)
    return Ensemble((made,), Fusion((1.0,), ToyNet.calibration))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[TestClient]:
    with local_client(make_app(settings, store.load)) as client:
        yield client


def version_of(answer: Any) -> int:
    assert answer.status_code == 200, answer.text
    return answer.json()["nets"][0]["version"]


def test_a_reload_serves_the_newest_nets_with_all_subjects(
    store: Store, client: TestClient
) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    store.newest = of_version(2)
    answer = client.post(RELOAD)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["former"], told["nets"]) == (["alexnet/1"], ["alexnet/2"])
    found = identify(client, png(50, 1))
    assert version_of(found) == 2
    assert found.json()["identity"]["subject_id"] == "ada"
    assert client.get("/v1/models").json()["nets"][0]["version"] == 2
    assert enroll(client, "eve", png(51)).status_code == 201
    assert client.delete("/v1/subjects/ada").status_code == 200
    assert identify(client, png(50, 1)).json()["decision"] == "no_match"


def test_no_request_fails_while_nets_are_reloaded(store: Store, client: TestClient) -> None:
    over = threading.Event()

    def ask() -> list[int]:
        seen: list[int] = []
        while not over.is_set():
            seen.append(version_of(identify(client, png(1, 1))))
        return seen

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for version in range(2, 6):
                store.newest = of_version(version)
                assert client.post(RELOAD).status_code == 200
                assert version_of(identify(client, png(1, 1))) == version
        finally:
            over.set()
    for one in asking:
        assert one.result() == sorted(one.result())


def test_a_request_under_way_ends_with_the_nets_that_it_began_with(
    store: Store, settings: Settings
) -> None:
    entered, may_end = threading.Event(), threading.Event()

    class SlowNet(ToyNet):
        def maps(self, images: NDArray[Any]) -> VeinMaps:
            entered.set()
            assert may_end.wait(PATIENCE_S)
            return super().maps(images)

    store.newest = of_version(1, net=SlowNet)
    with local_client(make_app(settings, store.load)) as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(identify, client, png(1, 1))
        assert entered.wait(PATIENCE_S)
        store.newest = of_version(2)
        assert client.post(RELOAD).status_code == 200
        assert version_of(identify(client, png(1, 1))) == 2
        may_end.set()
        assert version_of(asked.result()) == 1


@pytest.mark.parametrize(
    "error",
    [NetUnusable("/srv/alexnet/2: golden outputs differ"), NetsDisagree("/srv: no fusion")],
    ids=["golden outputs", "no fusion"],
)
def test_nets_that_cannot_be_used_leave_the_former_ones(
    store: Store, client: TestClient, error: Exception
) -> None:
    store.newest = error
    answer = client.post(RELOAD)
    assert_problem(answer, 409, "the nets that serve are kept", "log says why")
    assert "/srv" not in answer.text
    assert version_of(identify(client, png(1, 1))) == 1


def test_nets_that_would_lose_subjects_are_refused(store: Store, client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    store.newest = of_version(2, seed=7)
    assert_problem(client.post(RELOAD), 409, "1 enrolled subjects", "alexnet/2")
    assert identify(client, png(50, 1)).json()["identity"]["subject_id"] == "ada"
    assert client.delete("/v1/subjects/ada").status_code == 200
    assert client.post(RELOAD).status_code == 200  # nobody is lost any more
    assert version_of(identify(client, png(1, 1))) == 2


def test_a_second_reload_at_the_same_time_is_refused(store: Store, client: TestClient) -> None:
    store.is_held = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, RELOAD)
        try:
            assert store.entered.wait(PATIENCE_S)
            assert_problem(client.post(RELOAD), 409, "being replaced already")
        finally:
            store.is_held.set()
        assert first.result().status_code == 200


def test_a_database_that_searches_is_not_given_other_nets(
    client: TestClient, settings: Settings, store: Store
) -> None:
    app: Any = client.app
    searched = settings.model_copy(update={"search": "pgvector"})
    reloader = Reloader(searched, store.load, lambda: app.state.service, pytest.fail)
    with pytest.raises(ReloadRefused, match="PALM_SEARCH=pgvector"):
        reloader.reload()


def test_former_nets_are_released(store: Store, client: TestClient) -> None:
    assert isinstance(store.newest, Ensemble)
    former = weakref.ref(store.newest.nets[0])
    assert version_of(identify(client, png(1, 1))) == 1
    store.newest = of_version(2)
    gc.disable()  # large nets must not wait for it
    try:
        assert client.post(RELOAD).status_code == 200
        wait_until(lambda: former() is None)
    finally:
        gc.enable()


def test_a_hangup_reloads_and_is_recorded(store: Store, settings: Settings) -> None:
    with local_client(make_app(settings, store.load)) as client:
        app: Any = client.app
        reloader: Reloader = app.state.reloader
        store.newest = of_version(2)
        former = signal.getsignal(signal.SIGHUP)
        with reload_on_hangup(reloader):
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: version_of(identify(client, png(1, 1))) == 2)
            wait_until(lambda: settings.audit_file.read_text().count('"action":"reload"') == 2)
            store.newest = NetUnusable("broken")
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: '"phase":"failed"' in settings.audit_file.read_text())
        assert signal.getsignal(signal.SIGHUP) == former
        assert version_of(identify(client, png(1, 1))) == 2
