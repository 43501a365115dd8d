"""A gallery that cannot be reached: who may go on for how long, and what happens afterwards."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from app import starting
from app.access.key_ring import KeyRing
from app.access.keys import SCOPES, KeyRefused
from app.api.errors import NotReady
from app.api.service import Broken
from app.ensemble import Ensemble
from app.gallery.errors import GalleryUnreachable, GalleryUnusable, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.index.table import Table
from app.gallery.outage import Outage
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.keys import SqlKeys
from app.gallery.sql.sqlite import open_sqlite
from app.nets.precision import PrecisionChoice
from app.settings import Settings
from app.starting import Parts
from app.wiring import open_gallery
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    identify,
    images,
    load_toy_ensemble,
    load_toy_finder,
    local_client,
    make_app,
    make_settings,
    png,
    verify,
)
from tests.app.conftest import MASTER_KEYS
from tests.app.gallery.conftest import ALEXNET, VGG16, ToyNet, vein_maps
from tests.app.gallery.test_fields import HOUR, Now
from tests.app.live import connect, head, live, status_of, wait_until

NETS = [ToyNet(VGG16), ToyNet(ALEXNET)]
THREADS = 40  # in which Starlette runs plain functions


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """Makes every use of a gallery fail, as if its database could not be reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_lost = self.is_restored = False
        self.asked = 0
        uses = [(SqlGallery, name) for name in ("_reading", "_writing", "revision")]
        for owner, method in (*uses, (SqlKeys, "read")):
            monkeypatch.setattr(owner, method, self._guard(getattr(owner, method)))

    def _guard(self, method: Any) -> Any:
        def guarded(*arguments: Any, **options: Any) -> Any:
            self.asked += 1
            if self.is_lost:
                raise GalleryUnreachable("the database cannot be reached")
            if self.is_restored:
                raise GalleryUnusable("the gallery was restored")
            return method(*arguments, **options)

        return guarded


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def probe(seed: int) -> list[Any]:
    return [vein_maps(1, seed, net.format) for net in NETS]


def add(gallery: Gallery, subject_id: str, seed: int) -> None:
    templates = {net.format: vein_maps(1, seed, net.format) for net in NETS}
    gallery.enroll(subject_id, None, None, templates, add=False)


def test_an_index_goes_on_for_the_time_allowed_since_it_was_last_known_to_be_the_newest(
    gallery: Gallery, lost: Store
) -> None:
    clock = Clock()
    index = GalleryIndex(gallery, NETS, outage=Outage(60, clock))
    add(gallery, "ada", 1)
    before = datetime.now(UTC)
    assert index.search(probe(1)).as_of is None
    clock.now_s += 59  # nobody asked meanwhile: an erasure of then would have been seen
    lost.is_lost = True
    found = index.search(probe(1))
    assert [one.subject_id for one in found.subjects] == ["ada"]
    assert found.as_of is not None
    assert before <= found.as_of < before + timedelta(seconds=20)
    assert index.subject("ada").subject_id == "ada"
    with pytest.raises(SubjectUnknown):
        index.subject("eve")
    asked = lost.asked
    assert index.describe().as_of == found.as_of
    assert lost.asked == asked  # no caller waits for a database that is known to be lost
    clock.now_s += 1
    for use in (lambda: index.search(probe(1)), lambda: index.subject("ada"), index.describe):
        with pytest.raises(GalleryUnreachable):
            use()
    lost.is_lost = False
    index.refresh()
    assert index.search(probe(1)).as_of is None


def test_whose_retention_date_passes_in_an_outage_is_found_no_more(
    tmp_path: Path, lost: Store
) -> None:
    now = Now()
    with closing(open_sqlite(f"sqlite:///{tmp_path}/g.db", MASTER_KEYS, now=now)) as gallery:
        index = GalleryIndex(gallery, NETS, outage=Outage(60, Clock()))
        add(gallery, "ada", 1)
        add(gallery, "eve", 2)
        gallery.update("ada", {"retain_until": now() + HOUR})
        assert index.search(probe(1)).gallery_size == 2
        lost.is_lost = True
        assert index.search(probe(1)).gallery_size == 2
        now.time += HOUR
        found = index.search(probe(1))
        assert [one.subject_id for one in found.subjects] == ["eve"]
        assert (found.gallery_size, index.describe().searchable) == (1, 1)
        assert index.verify("ada", probe(1)) is None
        with pytest.raises(SubjectUnknown):
            index.subject("ada")
        lost.is_lost = False
        index.refresh()
        assert index.search(probe(1)).gallery_size == 1


def test_an_index_that_may_not_go_on_is_current_again_at_the_next_call(
    gallery: Gallery, lost: Store
) -> None:
    index = GalleryIndex(gallery, NETS)
    add(gallery, "ada", 1)
    index.refresh()
    lost.is_lost = True
    with pytest.raises(GalleryUnreachable):
        index.search(probe(1))
    lost.is_lost = False
    assert index.search(probe(1)).as_of is None


def test_an_outage_ends_when_the_store_answers_but_cannot_be_used(
    gallery: Gallery, lost: Store
) -> None:
    index = GalleryIndex(gallery, NETS, outage=Outage(600))
    add(gallery, "ada", 1)
    index.refresh()
    lost.is_lost = True
    assert index.search(probe(1)).as_of is not None
    lost.is_lost, lost.is_restored = False, True
    with pytest.raises(GalleryUnusable, match="restored"):
        index.refresh()
    with pytest.raises(GalleryUnusable, match="restored"):
        index.search(probe(1))
    lost.is_restored = False
    assert index.search(probe(1)).as_of is None


def test_an_index_that_was_never_read_cannot_go_on(gallery: Gallery, lost: Store) -> None:
    lost.is_lost = True
    with pytest.raises(GalleryUnreachable):
        GalleryIndex(gallery, NETS, outage=Outage(60)).search(probe(1))


def test_a_rebuilt_index_does_not_bring_back_who_was_erased_before_the_outage(
    gallery: Gallery, lost: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, go_on = threading.Event(), threading.Event()
    read = Table.read

    def read_and_wait(table: Table, of: Gallery, *stops: Callable[[], bool]) -> bool:
        done = read(table, of, *stops)
        if threading.current_thread().name == "gallery-index" and not built.is_set():
            built.set()
            assert go_on.wait(20)
        return done

    index = GalleryIndex(gallery, NETS, outage=Outage(60))
    index.refresh()
    monkeypatch.setattr(Table, "read", read_and_wait)
    for i in range(20):  # as many as bring a mean map
        add(gallery, f"s{i}", i)
    index.refresh()
    assert built.wait(20)
    gallery.delete("s3")
    index.refresh()
    lost.is_lost = True
    go_on.set()
    index.settle()
    found = index.search(probe(3))
    assert found.as_of is not None
    assert "s3" not in {one.subject_id for one in found.subjects}
    index.close()


def test_api_keys_are_checked_by_what_was_last_read(gallery: Gallery, lost: Store) -> None:
    clock = Clock()
    outage = Outage(60, clock)
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys, outage=outage)
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, token = ring.create("door", SCOPES, soon)
    ring.refresh()
    lost.is_lost = True
    clock.now_s += 59
    assert ring.is_stale
    ring.refresh()
    assert ring.caller(token, is_local=False).scopes == set(SCOPES)
    with pytest.raises(KeyRefused):
        ring.caller("palm_00000000_" + "x" * 43, is_local=True)
    clock.now_s += 1
    with pytest.raises(GalleryUnreachable):
        ring.refresh()


def test_keys_that_can_be_reached_but_not_read_end_the_outage(
    gallery: Gallery, lost: Store, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys, outage=outage)
    outage.begin(GalleryUnreachable("the database cannot be reached"))
    lost.is_restored = True
    with pytest.raises(GalleryUnusable, match="restored"):
        ring.refresh()
    assert told(caplog, "can be reached again")


def test_a_key_that_was_revoked_here_is_not_let_in_by_an_older_list(
    gallery: Gallery, lost: Store
) -> None:
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys, outage=Outage(60))
    key, _ = ring.create("door", SCOPES)
    ring.refresh()
    ring.revoke(key.key_id)
    lost.is_lost = True
    with pytest.raises(GalleryUnreachable):
        ring.refresh()


@pytest.fixture
def app_settings(tmp_path: Path, database: str) -> Settings:
    return make_settings(tmp_path).model_copy(update={"gallery_url": database})


class Database:
    """Takes a database away from everybody, and gives it back."""

    def __init__(self, server: psycopg.Connection, url: str) -> None:
        self._server = server
        self._name = str(make_url(url).database)

    def lose(self) -> None:
        self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        close = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        self._server.execute(close, [self._name])

    def give_back(self) -> None:
        self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")


@pytest.fixture
def taken(
    server: psycopg.Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    monkeypatch.setattr(starting, "RETRY_S", 0.05)
    taken = Database(server, database)
    yield taken
    taken.give_back()


def changes(client: TestClient) -> list[Any]:
    """Sends every kind of change, and a read that only the database can answer."""
    return [
        enroll(client, "eve", png(51)),
        client.patch("/v1/subjects/ada", json={"hand": "left"}),
        client.delete("/v1/subjects/ada"),
        client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}),
        client.get("/v1/subjects"),
    ]


def test_identification_goes_on_without_the_database_and_catches_up_by_itself(
    app_settings: Settings, taken: Database, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = app_settings.model_copy(update={"outage_s": 600.0})
    with local_client(make_app(allowed)) as client:
        wanted = {"name": "door", "scopes": list(SCOPES)}
        made = client.post("/v1/keys", json=wanted).json()
        client.headers["Authorization"] = f"Bearer {made['api_key']}"
        assert enroll(client, "ada", png(50)).status_code == 201
        assert identify(client, png(50, 1)).json()["gallery_as_of"] is None
        taken.lose()
        for answer in (identify(client, png(50, 1)), verify(client, "ada", png(50, 1))):
            found = answer.json()
            assert (found["decision"], found["identity"]["subject_id"]) == ("match", "ada")
            assert found["gallery_as_of"] is not None
            assert "the gallery was searched as of" in found["warnings"][0]
        assert_problem(verify(client, "nobody", png(50)), 404)
        assert client.post("/v1/inspect", files=images(png(50))).status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["subjects"]) == (200, 4)
        assert ready.json()["gallery_as_of"] is not None
        metrics = client.get("/metrics").text
        assert "palm_outage 1.0\n" in metrics
        assert "palm_ready 1.0\n" in metrics  # identification goes on
        assert 'palm_decisions_total{decision="match",operation="verify"} 1.0\n' in metrics
        assert "palm_gallery_revision" not in metrics
        for answer in changes(client):
            assert_problem(answer, 503, "cannot be reached")
            assert int(answer.headers["Retry-After"]) > 0
        wrong = {"Authorization": "Bearer palm_00000000_" + "x" * 43}
        assert_problem(client.get("/v1/subjects", headers=wrong), 401)
        assert len(told(caplog, "identification goes on for up to 600 s")) == 1
        assert told(caplog, "Gallery not reachable") == []  # not for each request
        taken.give_back()
        wait_until(lambda: identify(client, png(50)).json()["gallery_as_of"] is None)
        other = open_gallery(allowed)
        kept = [one.subject_id for one in other.subjects(after=None, limit=9)]
        assert kept == ["ada", "p001", "p002", "p003"]
        assert other.subject("ada").hand is None
        other.delete("ada")
        other.close()
        assert identify(client, png(50)).json()["decision"] == "no_match"
        assert enroll(client, "eve", png(51)).status_code == 201
    assert len(told(caplog, "can be reached again")) == 1
    log = (allowed.audit_file or Path()).read_text()
    assert '"gallery_as_of"' in log


def told(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [message for message in caplog.messages if text in message]


def test_by_default_nobody_is_identified_without_the_database(
    app_settings: Settings, taken: Database
) -> None:
    with local_client(make_app(app_settings)) as client:
        enroll(client, "ada", png(50))
        taken.lose()
        ready = client.get("/health/ready")
        for answer in (ready, identify(client, png(50)), verify(client, "ada", png(50))):
            assert_problem(answer, 503, "cannot be reached")
            assert "Retry-After" in answer.headers
        assert client.get("/health/live").status_code == 200
        wait_until(lambda: "palm_outage 1.0\npalm" not in (client.get("/metrics").text))
        taken.give_back()
        wait_until(lambda: client.get("/health/ready").is_success)
        wait_until(lambda: identify(client, png(50)).is_success)
        wait_until(lambda: "palm_outage 0.0\n" in client.get("/metrics").text)


class Counted:
    """Counts what is loaded."""

    def __init__(self) -> None:
        self.loads: list[str] = []

    def ensemble(
        self, folder: Path, names: Sequence[str], engine: str, choice: PrecisionChoice
    ) -> Ensemble:
        self.loads.append("nets")
        return load_toy_ensemble(folder, names, engine, choice)

    def finder(self, folder: Path, engine: str) -> Any:
        self.loads.append("finder")
        return load_toy_finder(folder, engine)


def assert_starts_later(settings: Settings, repair: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Checks a service whose gallery cannot be reached, and becomes ready once it is repaired."""
    caplog.set_level("INFO", "app")
    counted = Counted()
    with local_client(make_app(settings, counted.ensemble, counted.finder)) as client:
        for answer in (client.get("/health/ready"), identify(client, png(1))):
            assert_problem(answer, 503, "the gallery could not be reached", "tries again")
            assert "Retry-After" in answer.headers
        repair()
        wait_until(lambda: client.get("/health/ready").is_success)
        assert identify(client, png(1)).json()["decision"] == "match"
        assert enroll(client, "ada", png(50)).status_code == 201
    assert counted.loads == ["nets", "finder"]
    assert len(told(caplog, "not ready, and tried again")) == 1
    assert told(caplog, "ready")[-1] == "ready"
    assert (settings.audit_file or Path()).read_text().count('"action":"start"') == 1


def test_a_service_that_starts_without_its_database_becomes_ready_by_itself(
    app_settings: Settings, taken: Database, caplog: pytest.LogCaptureFixture
) -> None:
    taken.lose()
    assert_starts_later(app_settings, taken.give_back, caplog)


def test_a_service_that_starts_without_its_file_s_disk_becomes_ready_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "RETRY_S", 0.05)
    (tmp_path / "disk").touch()  # in place of the folder
    elsewhere = make_settings(tmp_path).model_copy(
        update={"gallery_url": f"sqlite:///{tmp_path}/disk/gallery.db"}
    )
    assert_starts_later(elsewhere, (tmp_path / "disk").unlink, caplog)


def test_only_a_part_that_could_not_be_reached_is_started_again() -> None:
    parts = Parts()
    failures: list[Exception] = [NotReady("the nets"), GalleryUnreachable("lost")]

    def fail() -> str:
        raise failures[-1]

    assert parts.start("gallery", fail) == Broken("gallery", is_retried=True)
    assert parts.are_retried
    failures.pop()
    assert parts.start("gallery", fail) == Broken("the nets")
    assert not parts.are_retried
    assert parts.start("gallery", lambda: "too late") == Broken("the nets")
    assert parts.start("other", lambda: "first") == "first"
    assert parts.start("other", lambda: "second") == "first"


def test_the_process_answers_that_it_lives_while_every_thread_waits_for_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, back = threading.Semaphore(0), threading.Event()
    with live(make_app(make_settings(tmp_path))) as server:
        revision = SqlGallery.revision

        def hang(gallery: SqlGallery) -> int:
            waiting.release()
            assert back.wait(20)
            return revision(gallery)

        monkeypatch.setattr(SqlGallery, "revision", hang)
        clients = [connect(server) for _ in range(THREADS + 1)]
        for client in clients:
            client.sendall(head("GET /health/ready"))
        for _ in range(THREADS):
            assert waiting.acquire(timeout=20)
        with connect(server) as client:
            client.sendall(head("GET /health/live"))
            assert status_of(client) == 200
        back.set()
        for client in clients:
            assert status_of(client) == 200
            client.close()
