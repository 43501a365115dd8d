"""The SQLite file: what survives, what is erased, and which files are refused."""

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine

from app.gallery.errors import GalleryBusy, GalleryUnusable, SubjectUnknown
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.sql import sqlite
from app.gallery.sql.failures import named_failures
from app.gallery.sql.migrations import former as former_releases
from app.gallery.sql.sqlite import open_sqlite
from app.matching.maps import MapShape
from app.matching.templates import MapFormat
from tests.app.conftest import MASTER_KEYS, execute
from tests.app.gallery.conftest import ALEXNET, VGG16, Open, enroll, make_plain, vein_maps

FILES = ("gallery.db", "gallery.db.keys")
TINY = MapFormat("a", "0", MapShape(5, 1))


def test_what_was_committed_survives_a_killed_process(open_gallery: Open, path: Path) -> None:
    kill_after_enrolment(path)
    assert open_gallery().subject("ada").template_counts[str(VGG16)] == 2


def kill_after_enrolment(path: Path) -> None:
    script = (
        "import os, sys\n"
        "from app.gallery.sql.sqlite import open_sqlite\n"
        "from tests.app.conftest import MASTER_KEYS\n"
        "from tests.app.gallery.conftest import enroll\n"
        "enroll(open_sqlite(f'sqlite:///{sys.argv[1]}', MASTER_KEYS), 'ada')\n"
        "os._exit(9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == 9


def test_a_new_gallery_is_for_its_owner_only(gallery: Gallery, path: Path) -> None:
    enroll(gallery, "ada")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    names = [f"{name}{end}" for name in FILES for end in ("", "-wal", "-shm")]
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o660])
def test_a_gallery_that_others_may_use_gets_a_warning(
    open_gallery: Open, path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    open_gallery().close()
    assert caplog.messages == []
    path.chmod(mode)
    open_gallery()
    warned = [line for line in caplog.messages if f"{path} (mode {mode:o})" in line]
    assert len(warned) == (mode != 0o600)
    assert all("chmod 600" in line for line in warned)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_that_was_copied_without_its_log_gets_a_warning(
    gallery: Gallery, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    enroll(gallery, "ada")
    copies = [path.with_name(f"copy-{number}.db") for number in (1, 2)]
    for copy in copies:
        for end in ("", ".keys", ".keys-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    shutil.copy(f"{path}-wal", f"{copies[1]}-wal")
    subjects: list[int] = []
    for copy in copies:
        with closing(open_sqlite(f"sqlite:///{copy}", MASTER_KEYS)) as opened:
            subjects.append(len(opened.subjects(after=None, limit=9)))
    (warning,) = caplog.messages
    assert f"{copies[0]} comes without its -wal" in warning
    assert subjects == [0, 1]


def test_a_gallery_is_closed_into_one_file_by_the_last_one(
    open_gallery: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    galleries = [open_gallery(), open_gallery()]
    enroll(galleries[0], "ada")
    galleries[0].close()
    assert Path(f"{path}-wal").exists()
    galleries[1].close()
    assert {file.name for file in path.parent.iterdir()} == {*FILES}
    copy = path.with_name("copy.db")
    for end in ("", ".keys"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    with closing(open_sqlite(f"sqlite:///{copy}", MASTER_KEYS)) as opened:
        assert opened.subject("ada").subject_id == "ada"
    assert caplog.messages == []


def test_a_process_that_was_killed_leaves_no_warning(
    open_gallery: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kill_after_enrolment(path)
    assert open_gallery().subject("ada")
    assert caplog.messages == []


@pytest.mark.parametrize("how", ["deleted", "replaced", "restored", "replaced by a link"])
def test_a_gallery_whose_file_is_no_longer_there_is_refused_at_once(
    gallery: Gallery, path: Path, how: str
) -> None:
    enroll(gallery, "ada")
    copy = path.with_name("copy.db")
    execute(path, f"VACUUM INTO '{copy}'")
    path.rename(path.with_name("moved.db"))
    if how == "replaced":
        execute(path, "CREATE TABLE other (text)")
    elif how == "restored":
        copy.rename(path)
    elif how == "replaced by a link":
        path.symlink_to(copy)
    before = path.read_bytes() if how != "deleted" else None
    told = re.escape(f"{path} was deleted or replaced while it was open")
    uses: list[Callable[[], object]] = [
        gallery.revision,
        lambda: gallery.subject("ada"),
        lambda: enroll(gallery, "eve"),
        lambda: gallery.delete("ada"),
        gallery.keys.read,
        gallery.keys.clear,
    ]
    with ThreadPoolExecutor(len(uses)) as pool:  # each with a connection of its own
        for use in [pool.submit(use) for use in uses]:
            with pytest.raises(GalleryUnusable, match=told):
                use.result()
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("how", ["stopped", "running", "no database"])
def test_a_gallery_whose_file_is_overwritten_in_place_is_refused(
    open_gallery: Open, path: Path, how: str
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    if how == "stopped":
        gallery.close()
        gallery = open_gallery()
    elif how == "running":
        checkpoint(path)
    former = path.read_bytes() if how != "no database" else b"recipes" * 9999
    for i in range(3):
        enroll(gallery, f"s{i}", seed=i)
    checkpoint(path)
    assert gallery.subject("s2")
    path.write_bytes(former)
    uses: list[Callable[[], object]] = [
        lambda: gallery.subject("ada"),
        lambda: enroll(gallery, "eve"),
        lambda: gallery.delete("ada"),
    ]
    for use in uses:
        with pytest.raises(GalleryUnusable, match=f"{re.escape(str(path))} was overwritten"):
            use()


def test_other_processes_write_the_file_unnoticed(open_gallery: Open, path: Path) -> None:
    gallery, other = open_gallery(), open_gallery()
    for i in range(20):
        enroll(other, f"s{i}", seed=i)
        if i % 3 == 0:
            checkpoint(path)
        elif i % 5 == 0:
            other.verify_erasures()
        assert gallery.subject(f"s{i}")


def checkpoint(path: Path) -> None:
    """Moves the log into the file, as SQLite does from time to time."""
    assert execute(path, "PRAGMA wal_checkpoint(FULL)")[0][0] == 0


def file_bytes(path: Path) -> bytes:
    """Returns the bytes of the gallery's file, its log and its shared index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def keys_of(path: Path) -> Path:
    """Returns the file of the subjects' keys."""
    return path.with_name(f"{path.name}.keys")


def spoil(path: Path, how: str) -> None:
    intact = path.read_bytes()
    if how == "no database":
        path.write_bytes(b"these are not the bytes you are looking for" * 100)
    elif how == "truncated":
        path.write_bytes(intact[: len(intact) // 2])
    elif how == "overwritten in the middle":
        path.write_bytes(intact[:4096] + b"\xff" * 4096 + intact[8192:])
    elif how == "overwritten within a page":
        ((page,),) = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'maps'")
        cells = 4096 * (page - 1) + 8
        path.write_bytes(intact[:cells] + b"\xff" * 4 + intact[cells + 4 :])
    elif how == "of another application":
        path.unlink()
        execute(path, "CREATE TABLE recipes (title TEXT)")
    elif how == "of another schema version":
        execute(path, "UPDATE gallery SET schema_version = 99")
    elif how == "of a newer release":
        execute(path, "UPDATE alembic_version SET version_num = '9999'")
    elif how == "read-only":
        path.chmod(0o444)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no database", "cannot be read: file is not a database; restore a backup"),
        ("truncated", "cannot be read: .*; restore a backup"),
        ("overwritten in the middle", "cannot be read: .*; restore a backup"),
        ("overwritten within a page", "cannot be read: .*; restore a backup"),
        ("of another application", r"is not a gallery, it has the tables \['recipes'\]"),
        ("of another schema version", "has schema version 99, not 5"),
        ("of a newer release", "has schema revision 9999 of a newer release; start that release"),
        ("read-only", "read-only"),
    ],
)
def test_an_unusable_file_is_refused_and_left_untouched(
    open_gallery: Open, path: Path, how: str, message: str
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    gallery.close()
    spoil(path, how)
    before = path.read_bytes()
    with pytest.raises(GalleryUnusable, match=message) as refusal:
        open_gallery()
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == before
    assert set(path.parent.iterdir()) == {path, keys_of(path)}


def test_a_start_that_fails_later_leaves_only_the_file(open_gallery: Open, path: Path) -> None:
    open_gallery().close()
    execute(path, "ALTER TABLE gallery DROP COLUMN revision")
    with pytest.raises(GalleryUnusable, match=str(path)):
        open_gallery()
    assert set(path.parent.iterdir()) == {path, keys_of(path)}


def test_what_is_only_in_the_log_is_checked_too(gallery: Gallery, path: Path) -> None:
    assert gallery.revision() == 0  # holds the file open, or closing it would end the log
    execute(path, "UPDATE gallery SET schema_version = 99")
    with pytest.raises(GalleryUnusable, match="99"):
        open_sqlite(f"sqlite:///{path}", MASTER_KEYS)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Runs as user nobody if the tests run as root, who may write any file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_gallery_that_another_user_owns_is_refused_and_left_untouched(locked: str) -> None:
    if locked == "file" and os.geteuid() != 0:
        pytest.skip("takes root to make a file of another owner")
    with TemporaryDirectory() as folder:  # pytest's own is closed to other users
        path = Path(folder) / "gallery.db"
        open_sqlite(f"sqlite:///{path}", MASTER_KEYS).close()
        path.chmod(0o644 if locked == "file" else 0o666)
        path.parent.chmod(0o777 if locked == "file" else 0o555)
        before = path.read_bytes()
        with unprivileged(), pytest.raises(GalleryUnusable, match=r"owner, mode") as refusal:
            open_sqlite(f"sqlite:///{path}", MASTER_KEYS)
        path.parent.chmod(0o700)
        assert str(path) in str(refusal.value)
        assert path.read_bytes() == before
        assert set(path.parent.iterdir()) == {path, keys_of(path)}


def test_what_the_driver_itself_raises_names_the_file(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    failure = pytest.raises(GalleryUnusable, match=f"{path} failed: disk I/O error")
    with failure, named_failures(engine):
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("place", ["file/gallery.db", ""], ids=["in a file", "a folder"])
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryUnusable, match=str(tmp_path / place)):
        open_sqlite(f"sqlite:///{tmp_path / place}", MASTER_KEYS)


def test_a_failure_while_running_names_only_the_file(gallery: Gallery, path: Path) -> None:
    execute(path, "DROP TABLE maps")
    with pytest.raises(GalleryUnusable, match=str(path)) as failure:
        enroll(gallery, "ada")
    assert "[SQL" not in str(failure.value)
    with pytest.raises(SubjectUnknown):
        gallery.subject("nobody")


FORMER = """
CREATE TABLE gallery (schema_version INTEGER NOT NULL, revision INTEGER NOT NULL);
CREATE TABLE subjects (
    subject_id VARCHAR NOT NULL, name VARCHAR, hand VARCHAR, origin VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL, PRIMARY KEY (subject_id)
);
CREATE TABLE templates (
    template_id INTEGER NOT NULL, subject_id VARCHAR NOT NULL, net VARCHAR NOT NULL,
    version INTEGER NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (template_id),
    FOREIGN KEY(subject_id) REFERENCES subjects (subject_id) ON DELETE CASCADE
);
CREATE INDEX templates_by_subject ON templates (subject_id);
CREATE TABLE erased (subject_id VARCHAR NOT NULL, PRIMARY KEY (subject_id));
INSERT INTO gallery VALUES (1, 7);
INSERT INTO subjects VALUES
    ('p001', NULL, NULL, 'trained', '2026-01-02T03:04:05+00:00'),
    ('eve', 'Eve', 'left', 'enrolled', '2026-01-02T03:04:06+00:00');
INSERT INTO templates VALUES (1, 'eve', 'vgg16', 1, CAST('an embedding of the palm' AS BLOB));
INSERT INTO erased VALUES ('p002');
"""


@pytest.fixture
def former(path: Path) -> Path:
    """A gallery as the release before wrote it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(FORMER)
    return path


def test_a_gallery_of_the_release_before_is_upgraded(former: Path, open_gallery: Open) -> None:
    gallery = open_gallery()
    eve, p001 = gallery.subjects(after=None, limit=9)
    assert (eve.subject_id, eve.name, eve.hand, eve.origin) == ("eve", "Eve", "left", "enrolled")
    assert eve.created_at.isoformat() == "2026-01-02T03:04:06+00:00"
    assert (eve.template_counts, p001.origin) == ({}, "trained")
    assert gallery.incomparable([VGG16], after=None, limit=9) == [eve]
    changes = gallery.changes(START, [VGG16, ALEXNET], 9)
    assert len(set(changes.numbers)) == 2
    assert b"an embedding" not in file_bytes(former)

    gallery.seed_trained(["p001", "p002"])
    enroll(gallery, "eve", add=True)
    enroll(gallery, "ada")
    numbers = gallery.changes(START, [], 9).numbers
    assert len(set(numbers)) == 3
    assert [s.subject_id for s in open_gallery().subjects(after=None, limit=9)] == [
        "ada",
        "eve",
        "p001",
    ]


def test_an_upgraded_file_is_like_a_new_one(former: Path, open_gallery: Open) -> None:
    open_gallery()
    new = former.with_name("another.db")
    open_sqlite(f"sqlite:///{new}", MASTER_KEYS).close()

    def schema(path: Path) -> list[tuple[str, str]]:
        found = execute(path, "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        return [(name, re.sub(r"\s", "", sql)) for name, sql in found]

    assert schema(former) == schema(new)


def drop_cameras(path: Path) -> None:
    """Makes one sum of maps and one report of the site of those of unnamed cameras."""
    columns = "net, template_id, side, channels, subjects, sums"
    key = "PRIMARY KEY (net, template_id)"
    execute(path, f"CREATE TABLE former (net, template_id, side, channels, subjects, sums, {key})")
    execute(path, f"INSERT INTO former SELECT {columns} FROM map_sums WHERE camera = ''")
    execute(path, "DROP TABLE map_sums")
    execute(path, "ALTER TABLE former RENAME TO map_sums")
    execute(path, "CREATE TABLE former (report)")
    execute(path, "INSERT INTO former SELECT report FROM site WHERE camera = ''")
    execute(path, "DROP TABLE site")
    execute(path, "ALTER TABLE former RENAME TO site")


def go_back(gallery: Gallery, path: Path) -> None:
    """Turns a gallery into one of the last release before Alembic."""
    make_plain(gallery)
    for index in ("maps_by_subject", "maps_by_transform"):
        execute(path, f"DROP INDEX {index}")
    for column in ("number", "added_at", "camera", "transform"):
        execute(path, f"ALTER TABLE maps DROP COLUMN {column}")
    for index in ("subjects_by_collection", "subjects_by_retention"):
        execute(path, f"DROP INDEX {index}")
    for column in ("collection", "details", "retain_until"):
        execute(path, f"ALTER TABLE subjects DROP COLUMN {column}")
    drop_cameras(path)
    execute(path, "CREATE INDEX maps_by_subject ON maps (subject_id, net, template_id, capture)")
    for column in ("master", "leftover", "generation"):
        execute(path, f"ALTER TABLE gallery DROP COLUMN {column}")
    for table in ("keys", "requests", "erasures", "secrets", "alembic_version"):
        execute(path, f"DROP TABLE {table}")
    execute(path, "UPDATE gallery SET schema_version = 4")


def test_a_gallery_without_captures_is_upgraded_and_keeps_its_templates(
    path: Path, open_gallery: Open
) -> None:
    enroll(open_gallery(), "ada")
    go_back(open_gallery(), path)
    execute(path, "DROP INDEX maps_by_subject")
    execute(path, "ALTER TABLE maps DROP COLUMN capture")
    execute(path, "CREATE INDEX maps_by_subject ON maps (subject_id, net, template_id)")
    execute(path, "UPDATE gallery SET schema_version = 2")

    gallery = open_gallery()

    ada = gallery.subject("ada")
    assert (list(ada.template_counts), ada.captures) == ([str(ALEXNET), str(VGG16)], [])
    of = {VGG16: vein_maps(1)}
    assert gallery.enroll("ada", None, None, of, add=True, captures=["hand"]).captures == ["hand"]
    assert execute(path, "SELECT schema_version FROM gallery") == [(5,)]
    assert open_gallery().subject("ada").captures == ["hand"]


def test_a_gallery_of_the_last_release_before_alembic_is_adopted_as_it_is(
    path: Path, open_gallery: Open
) -> None:
    enroll(open_gallery(), "ada")
    enroll(open_gallery(), "eve")
    go_back(open_gallery(), path)

    gallery = open_gallery()

    assert gallery.subject("ada").template_counts == {str(ALEXNET): 1, str(VGG16): 2}
    assert len(gallery.changes(START, [VGG16], 9).maps[0].maps) == 4
    templates = [*gallery.templates("ada"), *gallery.templates("eve")]
    assert [one.nets for one in templates] == 2 * [[str(ALEXNET), str(VGG16)], [str(VGG16)]]
    assert {(one.capture, one.added_at) for one in templates} == {(None, None)}
    enroll(gallery, "bob")
    templates += gallery.templates("bob")
    assert len({one.number for one in templates}) == 6
    assert execute(path, "SELECT schema_version FROM gallery") == [(5,)]  # it refuses this one


def test_an_upgrade_that_fails_leaves_the_former_gallery(
    former: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = (*former_releases.AFTER[1], "DROP TABLE not_there")
    monkeypatch.setitem(former_releases.AFTER, 1, failing)
    with pytest.raises(GalleryUnusable, match="not_there"):
        open_gallery()
    assert execute(former, "SELECT * FROM gallery") == [(1, 7)]
    assert execute(former, "SELECT CAST(vector AS TEXT) FROM templates") == [
        ("an embedding of the palm",)
    ]
    monkeypatch.undo()
    assert open_gallery().subject("eve").name == "Eve"


def test_a_locked_gallery_is_busy_and_stays_as_it_was(
    open_gallery: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
    gallery = open_gallery()
    enroll(gallery, "ada")
    before = gallery.subjects(after=None, limit=9), gallery.revision()
    with write_lock(path):
        for change in (
            lambda: enroll(gallery, "bob"),
            lambda: gallery.update("ada", {"name": "Ada"}),
            lambda: gallery.delete("ada"),
        ):
            with pytest.raises(GalleryBusy, match="locked by another program; try again"):
                change()
        assert (gallery.subjects(after=None, limit=9), gallery.revision()) == before
    gallery.delete("ada")


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Keeps a gallery's file locked, as another program does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
