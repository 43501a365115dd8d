"""A gallery in one SQLite file: how it is opened, checked, locked and erased from."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select

from app.gallery.gallery import GalleryUnusable
from app.gallery.sql import GALLERY, METADATA, SCHEMA_VERSION, SqlGallery, named_failures

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10.0
ELSEWHERE = "set PALM_GALLERY_URL to another file; this one was left untouched"
ADVICE = f"restore a backup or {ELSEWHERE}"


def open_sqlite(url: str) -> SqlGallery:
    """Opens a gallery file, or creates it with its folder; several processes may share it.

    Args:
        url: "sqlite:///relative/path.db" or "sqlite:////absolute/path.db".

    Raises:
        GalleryUnusable: if the file cannot be written, is corrupt or not a gallery; it is then
            left as it was, with nothing new beside it.
    """
    path = Path(make_url(url).database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_writable(path)
        if path.exists() and path.stat().st_size:
            _check_content(path)
    except OSError as error:
        raise GalleryUnusable(f"gallery {path} cannot be opened: {error}; {ADVICE}") from error
    engine = _engine(url)
    try:
        with named_failures(engine):
            _create_tables(engine)
            _purge(engine)  # an erasure may have been cut short by a crash
    except GalleryUnusable:
        engine.dispose()  # SQLite removes its log from beside the file when that is closed
        raise
    return SqlGallery(engine, purge=lambda: _purge(engine))


def _check_writable(path: Path) -> None:
    """Refuses a file, or a folder for SQLite's log, that this process may not write."""
    if path.exists() and not path.stat().st_mode & 0o222:  # root could write it all the same
        raise GalleryUnusable(f"gallery {path} is marked read-only; chmod u+w it, or {ELSEWHERE}")
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=True):
            raise GalleryUnusable(
                f"gallery {path} cannot be written: user {os.geteuid()}, as whom the service runs, "
                f"may not write {place}; see to its owner, mode, attributes (lsattr) and mount, "
                f"or {ELSEWHERE}"
            )


def _check_content(path: Path) -> None:
    """Refuses a file that is no intact gallery; opens it for reading only."""
    # Without a log the file is all there is, and SQLite, if told so, makes no files beside it.
    alone = not any(Path(f"{path}{log}").exists() for log in ("-wal", "-journal"))
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable={int(alone)}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as file:
            (verdict,) = file.execute("PRAGMA quick_check(1)").fetchone()
            tables = [name for (name,) in file.execute("SELECT name FROM sqlite_schema")]
            ours = GALLERY.name in tables
            found = file.execute("SELECT schema_version FROM gallery").fetchone() if ours else None
    except sqlite3.DatabaseError as error:
        raise GalleryUnusable(f"gallery {path} cannot be read: {error}; {ADVICE}") from error
    if verdict != "ok":
        found = " ".join(verdict.split())  # it comes in several lines
        raise GalleryUnusable(f"gallery {path} is corrupt: {found}; {ADVICE}")
    if tables and found is None:
        raise GalleryUnusable(f"{path} is no gallery, it holds the tables {tables}; {ADVICE}")
    if found and found != (SCHEMA_VERSION,):
        raise GalleryUnusable(
            f"gallery {path} has schema version {found[0]}, not {SCHEMA_VERSION}; {ADVICE}"
        )


def _engine(url: str) -> Engine:
    # hide_parameters: the message of a failed statement must not carry templates
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # begin() below opens transactions, not the driver
        connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not wait
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        connection.execute("PRAGMA temp_store=MEMORY")  # no templates in temporary files
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _create_tables(engine: Engine) -> None:
    """Creates what is missing, in one transaction: a crash leaves no half of a schema."""
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        METADATA.create_all(connection)
        if connection.execute(select(GALLERY)).first() is None:
            connection.execute(insert(GALLERY), {"schema_version": SCHEMA_VERSION, "revision": 0})


def _purge(engine: Engine) -> None:
    """Removes every trace of erased rows from the file and its log.

    secure_delete zeroes a deleted row, but not the stale copies that SQLite leaves between the
    rows of a page when it rebalances its trees: VACUUM writes all pages anew, from live rows
    only. It takes as much memory and time as the file is large.
    """
    with named_failures(engine), engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute("VACUUM")
        busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        logger.warning("%s is being read: erased rows stay in its log until next time", engine.url)
