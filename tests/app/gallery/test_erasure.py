"""Erasure: every byte of the stores is searched, and a receipt never says more than was done."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from app.gallery.erasure import Erasure
from app.gallery.errors import ErasureUnknown, GalleryUnusable, NotPurged, SubjectUnknown
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.sql import postgresql, sqlite
from app.gallery.sql.schema import SUBJECTS
from app.matching.maps import MapShape
from app.matching.templates import MapFormat
from tests.app.conftest import execute, largest_file
from tests.app.gallery.conftest import (
    BOTH_STORES,
    VGG16,
    Open,
    enroll,
    make_plain,
    opened,
    vein_maps,
)

Files = Callable[[], bytes]

TINY = MapFormat("a", "0", MapShape(5, 1))


@pytest.fixture
def files(store: str, path: Path, request: pytest.FixtureRequest) -> Files:
    """Returns the bytes of all files that a store has: of SQLite also logs and shared indexes."""

    def of_sqlite() -> bytes:
        return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))

    def of_postgresql() -> bytes:
        server: psycopg.Connection = request.getfixturevalue("server")
        server.execute("CHECKPOINT")
        folder = Path(server.execute("SHOW data_directory").fetchall()[0][0])
        return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())

    return of_sqlite if store == "sqlite" else of_postgresql


def key_bytes(gallery: Gallery, subject_id: str) -> bytes:
    """Returns a subject's wrapped key, as it is stored."""
    engine, vault = opened(gallery)
    own = select(SUBJECTS.c.number).where(SUBJECTS.c.subject_id == subject_id)
    with engine.connect() as connection:
        (number,) = connection.scalars(own)
        (wrapped,) = vault.wrapped.read(connection, [number]).values()
    return wrapped


def states(erasure: Erasure) -> tuple[str, str]:
    return erasure.database, erasure.log


@BOTH_STORES
def test_no_file_holds_a_template_or_name_in_plain_bytes(gallery: Gallery, files: Files) -> None:
    maps = vein_maps(3, seed=51)  # which no other test stores plain on the same server
    gallery.enroll("ada-lovelace", "Ada Byron", "left", {VGG16: maps}, add=False)
    gallery.update("ada-lovelace", {"name": "Countess of Lovelace"})
    gallery.sums_by_camera([VGG16])[""]
    plain = [b"Ada Byron", b"Countess"]
    plain += [one[i : i + 16] for one in maps.to_bytes() for i in (0, 16, 48, 240)]
    assert b"ada-lovelace" in files()  # ids are stored as they are
    assert not [trace for trace in plain if trace in files()]
    gallery.delete("ada-lovelace")
    assert not [trace for trace in plain if trace in files()]


def test_nothing_that_decrypts_an_erased_subject_remains(gallery: Gallery, files: Files) -> None:
    for i in range(40):
        enroll(gallery, f"somebody-else-{i * 7919 % 40}", seed=100 + i)
    gallery.enroll("ada", "Ada", None, {VGG16: vein_maps(3, seed=5)}, add=False)
    wrapped = key_bytes(gallery, "ada")
    assert wrapped in files()
    erasure = gallery.delete("ada")
    assert states(erasure) == ("done", "done")
    for part in (wrapped[:12], wrapped[12:28], wrapped[-16:]):
        assert part not in files()
    assert len(gallery.changes(START, [VGG16], 99).maps[0].maps) == 80


def test_a_removed_template_cannot_be_decrypted_and_the_others_stay(
    gallery: Gallery, files: Files
) -> None:
    maps = vein_maps(3, seed=5)
    gallery.enroll("ada", "Ada", None, {VGG16: maps}, add=False)
    wrapped = key_bytes(gallery, "ada")
    numbers = [one.number for one in gallery.templates("ada")]
    assert gallery.remove_template("ada", numbers[1]).erased == "template"
    assert gallery.subject("ada").name == "Ada"
    assert wrapped[:12] not in files()
    assert key_bytes(gallery, "ada") in files()
    left = gallery.changes(START, [VGG16], 9).maps[0].maps
    first, _, last = maps.to_bytes()
    assert left == (first, last)
    (erasure,) = gallery.verify_erasures()
    assert (erasure.erased, *states(erasure)) == ("template", "done", "done")


def test_an_id_in_a_rebalanced_page_is_erased_by_verification(
    gallery: Gallery, files: Files
) -> None:
    # Rebalanced pages keep stale copies of rows, which secure_delete does not overwrite.
    draw = random.Random(12)  # leaves a stale copy of one id
    alive: list[str] = []
    erased: list[bytes] = []
    for step in range(63):
        alive.append(f"s{draw.randrange(10**9)}")
        templates = {TINY: vein_maps(draw.randint(1, 9), of=TINY)}
        gallery.enroll(alive[-1], None, None, templates, add=False)
        if step % 3 == 2:
            erased.append(alive.pop(draw.randrange(len(alive))).encode())
            gallery.delete(erased[-1].decode())
    assert [one for one in erased if one in files()]  # what the verification is for
    assert {states(one) for one in gallery.verify_erasures()} == {("done", "done")}
    assert not [one for one in erased if one in files()]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Keeps a foreign program's transaction open, which reads a file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN")
        foreign.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        yield


@pytest.mark.parametrize("read", ["gallery.db", "gallery.db.keys"])
def test_with_a_foreign_reader_the_receipt_says_pending_until_a_later_change(
    gallery: Gallery, files: Files, path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    wrapped = key_bytes(gallery, "ada")
    with reading(path.with_name(read)):
        erasure = gallery.delete("ada")
        of_keys = read == "gallery.db.keys"
        assert (wrapped in files()) == of_keys
        assert states(erasure) == ("pending" if of_keys else "done", "pending")
        gallery.update("eve", {"hand": "left"})
        assert gallery.erasure(erasure.erasure_id) == erasure
        with pytest.raises(NotPurged, match="read by another program") as refused:
            gallery.verify_erasures()
        assert refused.value.erasures[0].log == "pending"
    gallery.update("eve", {"hand": "right"})
    assert wrapped not in files()
    assert states(gallery.erasure(erasure.erasure_id)) == ("done", "done")


def test_what_one_process_cannot_purge_is_purged_by_the_next_change_of_another(
    open_gallery: Open, files: Files, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    here, there = open_gallery(), open_gallery()
    enroll(here, "ada")
    enroll(here, "eve")
    wrapped = key_bytes(here, "ada")
    with reading(keys_of(path)):
        erasure = here.delete("ada")
        there.update("eve", {"hand": "left"})
        assert wrapped in files()
    there.update("eve", {"hand": "right"})
    assert wrapped not in files()
    assert states(here.erasure(erasure.erasure_id)) == ("done", "done")
    former = key_bytes(here, "eve")
    with reading(keys_of(path)):
        assert not here.rotate_master_key(b"\x11" * 32)
    assert former in files()
    there.update("eve", {"hand": "left"})
    assert former not in files()
    assert execute(path, "SELECT leftover FROM gallery") == [(None,)]


@pytest.mark.parametrize("by", ["a start", "a verification"])
def test_plain_rows_that_a_reader_keeps_are_removed_by(
    open_gallery: Open, files: Files, path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    gallery = open_gallery()
    gallery.enroll("ada", "Ada Byron", None, {VGG16: vein_maps(3, seed=5)}, add=False)
    make_plain(gallery)
    with reading(path):
        here, there = open_gallery(), open_gallery()
        assert not here.rotate_master_key(b"\x11" * 32)  # which leaves less than plain rows
    assert [trace for trace in PLAIN if trace in files()]
    assert execute(path, "SELECT leftover FROM gallery") == [("plain",)]
    with monkeypatch.context() as patch:  # no change waits until the whole store is written anew
        patch.setattr(sqlite.SqliteFiles, "scrub", lambda _: pytest.fail("a change waits"))
        there.update("ada", {"hand": "left"})
        enroll(there, "eve")
        there.delete("eve")
    assert execute(path, "SELECT leftover FROM gallery") == [("plain",)]
    if by == "a start":
        open_gallery()
    else:
        there.verify_erasures()
    assert not [trace for trace in PLAIN if trace in files()]
    assert execute(path, "SELECT leftover FROM gallery") == [(None,)]


def run_and_die(path: Path, seam: str, act: str) -> None:
    """Opens a gallery in another process, which dies when it comes to a function."""
    script = (
        "import os, sys\n"
        "from app.gallery.sql import moving\n"
        "from app.gallery.sql import gallery as sql\n"
        "from app.gallery.sql import sqlite\n"
        "from app.gallery.encryption import wrapped\n"
        "from app.wiring import GALLERIES\n"
        "from tests.app.conftest import MASTER_KEYS\n"
        "from tests.app.gallery.conftest import enroll\n"
        f"{seam} = lambda *_, **__: os._exit(9)\n"
        "gallery = sqlite.open_sqlite(f'sqlite:///{sys.argv[1]}', MASTER_KEYS)\n"
        f"{act}\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert died.returncode == 9


def test_a_copy_of_a_key_that_sqlite_left_in_its_file_is_removed_too(
    open_gallery: Open, files: Files, path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    wrapped = key_bytes(gallery, "ada")
    gallery.close()
    with closing(sqlite3.connect(f"{path}.keys")) as keys:  # as rebalancing a tree leaves it
        keys.execute("PRAGMA secure_delete=OFF")
        keys.execute("INSERT INTO subject_keys VALUES (999, ?)", (wrapped,))
        keys.commit()
        keys.execute("DELETE FROM subject_keys WHERE number = 999")
        keys.commit()
    gallery = open_gallery()
    assert files().count(wrapped) == 2
    assert states(gallery.delete("ada")) == ("done", "done")
    assert wrapped not in files()


SEAMS = {"before": "wrapped.WrappedKeys.remove", "after": "sqlite.SqliteFiles.purge"}


@pytest.mark.parametrize("seam", SEAMS.values(), ids=SEAMS)
def test_an_erasure_that_a_crash_interrupts_is_finished_at_the_next_start(
    open_gallery: Open, files: Files, path: Path, seam: str
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    wrapped = key_bytes(gallery, "ada")
    gallery.close()
    if "remove" in seam:  # the start removes keys, too
        act = f"{seam} = lambda *_, **__: os._exit(9); gallery.delete('ada')"
        run_and_die(path, "unused", act)
    else:
        run_and_die(path, seam, "gallery.delete('ada')")
    assert wrapped in files()
    gallery = open_gallery()
    assert wrapped not in files()
    with pytest.raises(SubjectUnknown):
        gallery.subject("ada")
    assert len(gallery.changes(START, [VGG16], 9).maps[0].maps) == 2
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "done")]


def key_numbers(gallery: Gallery) -> set[int]:
    engine, vault = opened(gallery)
    with engine.connect() as connection:
        return vault.wrapped.numbers(connection)


def test_an_enrolment_that_a_crash_interrupts_leaves_no_key(open_gallery: Open, path: Path) -> None:
    gallery = open_gallery()
    enroll(gallery, "eve")
    expected = key_numbers(gallery)
    gallery.close()
    run_and_die(path, "sql.insert_templates", "enroll(gallery, 'ada')")
    gallery = open_gallery()
    assert key_numbers(gallery) == expected
    enroll(gallery, "ada")
    assert len(gallery.subjects(after=None, limit=9)) == 2


def test_an_erasure_outlives_a_backup_of_the_gallery_without_its_keys(
    open_gallery: Open, path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada", seed=1)
    enroll(gallery, "eve", seed=2)
    gallery.close()
    backup = path.read_bytes()
    gallery = open_gallery()
    gallery.delete("ada")
    gallery.close()
    path.write_bytes(backup)
    gallery = open_gallery()
    assert [one.subject_id for one in gallery.subjects(after=None, limit=9)] == ["eve"]
    assert gallery.sums_by_camera([VGG16])[""][0].subjects == 1


def test_a_key_that_comes_back_from_a_backup_is_found_and_removed(
    open_gallery: Open, path: Path, files: Files
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    number, wrapped = min(execute(keys_of(path), "SELECT number, wrapped FROM subject_keys"))
    gallery.delete("ada")
    execute(keys_of(path), "INSERT INTO subject_keys VALUES (?, ?)", number, wrapped)
    assert wrapped in files()
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "done")]
    assert wrapped not in files()


def keys_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.keys")


def test_on_a_full_disk_an_erasure_is_refused_and_the_start_succeeds(open_gallery: Open) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    for size in (4_000, 40_000):
        with largest_file(size), pytest.raises(GalleryUnusable, match="disk has room"):
            gallery.delete("ada")
        assert gallery.subject("ada").template_counts
    gallery.close()
    with largest_file(32_768):  # SQLite's shared index has this size
        gallery = open_gallery()
        gallery.seed_trained([])
        assert gallery.subject("ada").template_counts
    assert states(gallery.delete("ada")) == ("done", "done")


def test_without_room_to_purge_an_erasure_is_pending_until_there_is_room(
    open_gallery: Open, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    wrapped = key_bytes(gallery, "ada")

    def fail(*_: object, **__: object) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_truncate_log", fail)
        erasure = gallery.delete("ada")
        assert states(erasure) == ("pending", "pending")
        assert wrapped in files()
        gallery.close()
        gallery = open_gallery()  # does not keep the service from its start
        assert gallery.erasure(erasure.erasure_id) == erasure
    gallery.update("eve", {"hand": "left"})
    assert wrapped not in files()
    assert states(gallery.erasure(erasure.erasure_id)) == ("done", "done")


PLAIN = [b"Ada Byron", *(one[:16] for one in vein_maps(3, seed=5).to_bytes())]


@BOTH_STORES
def test_nothing_plain_is_left_of_a_gallery_that_was_not_encrypted(
    open_gallery: Open, files: Files, store: str
) -> None:
    gallery = open_gallery()
    gallery.enroll("ada", "Ada Byron", None, {VGG16: vein_maps(3, seed=5)}, add=False)
    before = gallery.sums_by_camera([VGG16])[""][0].to_bytes()
    make_plain(gallery)
    assert all(trace in files() for trace in PLAIN)
    gallery.close()
    gallery = open_gallery()
    assert gallery.subject("ada").name == "Ada Byron"
    assert gallery.sums_by_camera([VGG16])[""][0].to_bytes() == before
    if store == "sqlite":
        assert not [trace for trace in PLAIN if trace in files()]


@pytest.mark.parametrize("seam", ["sqlite.unlock", "sqlite.SqlGallery", "sqlite.SqliteFiles.scrub"])
def test_a_gallery_whose_encryption_a_crash_interrupts_is_encrypted_at_the_next_start(
    open_gallery: Open, files: Files, path: Path, seam: str
) -> None:
    gallery = open_gallery()
    gallery.enroll("ada", "Ada Byron", None, {VGG16: vein_maps(3, seed=5)}, add=False)
    make_plain(gallery)
    gallery.close()
    assert all(trace in files() for trace in PLAIN)
    run_and_die(path, seam, "")
    expected = None if seam == "sqlite.unlock" else "plain"
    assert execute(path, "SELECT leftover FROM gallery") == [(expected,)]
    gallery = open_gallery()
    assert execute(path, "SELECT leftover FROM gallery") == [(None,)]
    assert not [trace for trace in PLAIN if trace in files()]
    assert gallery.subject("ada").name == "Ada Byron"
    assert gallery.changes(START, [VGG16], 9).maps[0].maps == tuple(vein_maps(3, seed=5).to_bytes())


@BOTH_STORES
def test_an_erasure_is_recorded_and_others_are_unknown(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.seed_trained(["p001"])
    enroll(gallery, "ada")
    erasures = [gallery.delete("ada"), gallery.delete("p001")]
    enroll(gallery, "ada", seed=7)
    erasures.append(gallery.delete("ada"))
    later = open_gallery()
    assert [later.erasure(one.erasure_id) for one in erasures] == erasures
    assert erasures[0].pseudonym == erasures[2].pseudonym != erasures[1].pseudonym
    assert len({one.erasure_id for one in erasures}) == 3
    assert {one.database for one in erasures} == {"done"}
    for unknown in ("0" * 32, "a\0b"):
        with pytest.raises(ErasureUnknown, match="erasure_id"):
            later.erasure(unknown)
    assert [one.erasure_id for one in later.verify_erasures()] == [
        one.erasure_id for one in erasures
    ]


@pytest.fixture
def log_without_recycling(server: psycopg.Connection) -> Iterator[Callable[[], None]]:
    """Lets PostgreSQL remove old segments of its log, and returns what makes it do so."""

    def pass_on() -> None:
        for _ in range(3):
            server.execute("SELECT pg_switch_wal()")
            server.execute("CHECKPOINT")

    server.execute("ALTER SYSTEM SET wal_recycle = off")
    server.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
    server.execute("SELECT pg_reload_conf()")
    yield pass_on
    for name in ("wal_recycle", "min_wal_size"):
        server.execute(f"ALTER SYSTEM RESET {name}")
    server.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_on_postgresql_the_log_is_pending_until_its_segments_are_gone(
    gallery: Gallery, files: Files, log_without_recycling: Callable[[], None]
) -> None:
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    wrapped = key_bytes(gallery, "ada")
    erasure = gallery.delete("ada")
    assert states(erasure) == ("done", "pending")
    assert wrapped in files()  # in the log
    assert gallery.verify_erasures() == [erasure]
    log_without_recycling()
    assert wrapped not in files()
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "done")]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_on_postgresql_the_statistics_hold_no_key(gallery: Gallery, url: str) -> None:
    for i in range(20):
        enroll(gallery, f"s{i}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        found = connection.execute(
            "SELECT attname FROM pg_stats WHERE tablename = 'subject_keys'"
        ).fetchall()
    assert found == [("number",)]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_on_postgresql_a_log_that_is_pending_makes_no_change_purge(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    erasure = gallery.delete("ada")
    assert states(erasure) == ("done", "pending")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("only verification could tell more of the log")

    monkeypatch.setattr(postgresql.PostgresqlFiles, "purge", fail)
    gallery.update("eve", {"hand": "left"})
    assert gallery.erasure(erasure.erasure_id) == erasure


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_on_postgresql_an_older_transaction_keeps_an_erasure_pending(
    gallery: Gallery, url: str
) -> None:
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    with psycopg.connect(url) as foreign:
        foreign.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        foreign.execute("SELECT revision FROM gallery")
        erasure = gallery.delete("ada")
        assert states(erasure) == ("pending", "pending")
        gallery.update("eve", {"hand": "left"})
        assert gallery.erasure(erasure.erasure_id) == erasure
    gallery.update("eve", {"hand": "right"})
    assert gallery.erasure(erasure.erasure_id).database == "done"


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_on_postgresql_a_locked_table_of_keys_keeps_an_erasure_pending(
    gallery: Gallery, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_S", 0.01)
    enroll(gallery, "ada")
    with psycopg.connect(url) as foreign:
        foreign.execute("LOCK TABLE subject_keys IN SHARE MODE")
        assert gallery.delete("ada").database == "pending"
    enroll(gallery, "eve")
    assert gallery.verify_erasures()[0].database == "done"
