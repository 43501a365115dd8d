"""The PostgreSQL database: who shares it, which are refused, and what happens if it is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url

from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.sql import postgresql
from app.gallery.sql.failures import named_failures
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.migrations import migrate
from app.gallery.sql.postgresql import open_postgresql
from app.gallery.sql.schema import MAPS
from tests.app.conftest import MASTER_KEYS
from tests.app.gallery.conftest import VGG16, Open, enroll

Execute = Callable[[str], list[Any]]


@pytest.fixture
def store() -> str:
    return "postgresql"


@pytest.fixture
def execute(url: str) -> Execute:
    """Executes statements on the gallery's database, behind its back."""

    def execute_alone(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    return execute_alone


def name_of(url: str) -> str:
    """Returns the name of a database."""
    return str(make_url(url).database)


@contextmanager
def after_next_statement(act: Callable[[], object]) -> Iterator[None]:
    """Acts once, after the next statement that any gallery executes."""
    waiting = [act]

    def act_once(*_: object) -> None:
        if waiting:
            waiting.pop()()

    event.listen(Engine, "after_cursor_execute", act_once)
    yield
    event.remove(Engine, "after_cursor_execute", act_once)


def test_processes_that_start_at_once_share_an_empty_database(
    url: str, server: psycopg.Connection
) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    waiting = (
        "SELECT pid FROM pg_stat_activity "
        f"WHERE datname = '{name_of(url)}' AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as first:
            postgresql.lock_opening(first)
            migrate(first)
            second = pool.submit(open_postgresql, url, MASTER_KEYS)
            while not server.execute(waiting).fetchall():
                assert not second.done()
        with closing(second.result()) as gallery:
            enroll(gallery, "ada")
    engine.dispose()


def test_processes_see_each_others_changes_at_once(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    start = there.changes(START, [VGG16], 9).position
    enroll(here, "ada")
    enrolled = there.changes(start, [VGG16], 9)
    assert [one.subject_id for one in enrolled.subjects] == ["ada"]
    assert len(enrolled.maps[0].maps) == 2
    here.delete("ada")
    assert there.changes(enrolled.position, [VGG16], 9).removed == enrolled.numbers


def test_what_is_read_at_once_is_of_one_revision(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    enroll(here, "ada")
    with after_next_statement(lambda: there.delete("ada")):
        before = here.changes(START, [VGG16], 9)
    assert [one.subject_id for one in before.subjects] == ["ada"]
    assert len(before.maps[0].maps) == 2
    assert here.changes(before.position, [VGG16], 9).removed == before.numbers


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE gallery", r"is not a gallery, it has the tables \['alembic_version'"),
        ("UPDATE gallery SET schema_version = 99", "has schema version 99, not 5"),
        ("UPDATE alembic_version SET version_num = '9999'", "schema revision 9999 of a newer"),
    ],
)
def test_a_database_that_is_no_gallery_of_this_release_is_refused_and_left_untouched(
    open_gallery: Open, execute: Execute, statement: str, message: str
) -> None:
    open_gallery()
    execute(statement)
    tables = "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    before = execute(tables), execute("SELECT * FROM alembic_version")
    with pytest.raises(GalleryUnusable, match=message):
        open_gallery()
    assert (execute(tables), execute("SELECT * FROM alembic_version")) == before


def test_a_database_of_another_encoding_is_refused(url: str, execute: Execute) -> None:
    name = f"{name_of(url)}_latin1"
    execute(f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    with pytest.raises(GalleryUnusable, match="encoding LATIN1: create the database with UTF8"):
        open_postgresql(url.replace("?", "_latin1?"), MASTER_KEYS)
    execute(f"DROP DATABASE {name}")


def test_a_server_that_cannot_be_reached_is_named_without_the_password() -> None:
    with pytest.raises(GalleryUnusable, match=r"127\.0\.0\.1:1/db failed: .*refused") as refusal:
        open_postgresql("postgresql://ada:s3c%40ret@127.0.0.1:1/db", MASTER_KEYS)
    assert "s3c" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


CLOSE = "pg_terminate_backend(pid)"
CLOSE_CONNECTIONS = (
    f"SELECT {CLOSE} FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_closed_connection_is_replaced(open_gallery: Open, execute: Execute) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    assert execute(CLOSE_CONNECTIONS)
    enroll(gallery, "eve")
    assert len(gallery.subjects(after=None, limit=9)) == 2


def test_a_connection_that_is_closed_in_a_transaction_leaves_nothing_half_done(
    open_gallery: Open, execute: Execute
) -> None:
    gallery = open_gallery()
    closing = after_next_statement(lambda: execute(CLOSE_CONNECTIONS))
    with closing, pytest.raises(GalleryUnusable, match="terminating connection"):
        enroll(gallery, "ada")
    assert gallery.revision() == 0
    enroll(gallery, "ada")


def test_a_lost_database_is_used_again_when_it_is_back(
    open_gallery: Open, url: str, execute: Execute, server: psycopg.Connection
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    name = name_of(url)
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    closed = CLOSE_CONNECTIONS.replace("current_database()", f"'{name}'")
    assert server.execute(closed).fetchall()
    for ask in (gallery.revision, lambda: enroll(gallery, "eve")):
        with pytest.raises(GalleryUnusable, match="not currently accepting connections"):
            ask()
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    enroll(gallery, "eve")
    assert len(gallery.subjects(after=None, limit=9)) == 2


def test_a_frozen_server_is_not_waited_for(
    open_gallery: Open, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    monkeypatch.setattr(postgresql, "ANSWER_TIMEOUT_S", 0.5)
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(pid for (pid,) in execute(CLOSE_CONNECTIONS.replace(CLOSE, "pid")))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    try:
        with (
            after_next_statement(freeze),
            pytest.raises(GalleryUnusable, match=r"no answer for 0\.5 s"),
        ):
            enroll(gallery, "ada")
        assert gallery.subjects(after=None, limit=9) == []  # on a new connection
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert frozen


def test_a_writer_that_waits_too_long_for_another_gives_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_postgresql(url, MASTER_KEYS).close()
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_S", 0.5)
    gallery = open_postgresql(url, MASTER_KEYS)
    with psycopg.connect(url) as other:
        other.execute("UPDATE gallery SET revision = revision")
        with pytest.raises(GalleryUnusable, match="statement timeout"):
            enroll(gallery, "ada")
        assert gallery.subjects(after=None, limit=9) == []  # readers do not wait
    enroll(gallery, "ada")
    gallery.close()


def test_a_failure_does_not_quote_the_row(open_gallery: Open) -> None:
    gallery = open_gallery()
    assert isinstance(gallery, SqlGallery)
    engine = gallery._engine  # pyright: ignore[reportPrivateUsage]
    row = {"subject_id": "ada", "net": "vgg16", "template_id": "0", "map": b"a template"}
    failure = pytest.raises(GalleryUnusable, match="violates foreign key constraint")
    with failure as raised, named_failures(engine), engine.begin() as connection:
        connection.execute(insert(MAPS), row)
    assert "ada" not in str(raised.value)


def test_a_connection_that_is_lost_while_a_key_is_destroyed_leaves_the_erasure_pending(
    open_gallery: Open, server: psycopg.Connection
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")

    def lose(connection: Connection, _: object, statement: str, *__: object) -> None:
        if statement.startswith("VACUUM"):
            event.remove(Engine, "before_cursor_execute", lose)
            server.execute(
                "SELECT pg_terminate_backend(%s)",
                [connection.connection.driver_connection.info.backend_pid],  # pyright: ignore
            )

    event.listen(Engine, "before_cursor_execute", lose)
    erasure = gallery.delete("ada")
    assert erasure.database == "pending"
    enroll(gallery, "eve")  # the next change tries again
    assert gallery.erasure(erasure.erasure_id).database == "done"
