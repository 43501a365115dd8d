"""Opens, checks and purges a gallery in one SQLite file."""

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError

from app.gallery.errors import GalleryBusy, GalleryUnusable
from app.gallery.failures import named_failures
from app.gallery.files import OpenedFile, keep_private, warn_of_missing_log
from app.gallery.migrations import check_schema, migrate
from app.gallery.sql import SqlGallery

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10.0
ELSEWHERE = "set PALM_GALLERY_URL to another file; this one was left untouched"
ADVICE = f"restore a backup or {ELSEWHERE}"


def open_sqlite(url: str) -> SqlGallery:
    """Opens a gallery file, or creates it and its folder; several processes may share it.

    New ones are for their owner only. Once another file takes the opened one's place, every use of
    the gallery raises `GalleryUnusable`.

    A gallery of an earlier release is upgraded, see `app.gallery.migrations`.

    Args:
        url: "sqlite:///relative/path.db" or "sqlite:////absolute/path.db".

    Raises:
        GalleryUnusable: if the file cannot be written, is damaged or is not a gallery. It is then
            unchanged, and no file is created beside it.
    """
    path = Path(make_url(url).database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_writable(path)
        if path.exists() and path.stat().st_size:
            _check_content(path)
            warn_of_missing_log(path)
        keep_private(path)
        file = OpenedFile(path)
        engine = _engine(url, file)
    except OSError as error:
        raise GalleryUnusable(f"gallery {path} cannot be opened: {error}; {ADVICE}") from error
    try:
        with named_failures(engine):
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                migrate(connection)
            _purge(engine)  # a crash may have interrupted an erasure
    except GalleryUnusable:
        engine.dispose()  # SQLite removes its log when the file is closed
        raise

    @event.listens_for(engine, "engine_disposed")
    def close(_: Engine) -> None:
        _leave_wal_mode(path, file)

    return SqlGallery(engine, purge=lambda: _purge(engine))


def _check_writable(path: Path) -> None:
    """Refuses a file, or a folder for SQLite's log, that this process may not write."""
    if path.exists() and not path.stat().st_mode & 0o222:  # root could write it nevertheless
        raise GalleryUnusable(f"gallery {path} is marked read-only; chmod u+w it, or {ELSEWHERE}")
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=True):
            raise GalleryUnusable(
                f"gallery {path} cannot be written: the service runs as user {os.geteuid()}, who "
                f"may not write {place}; check its owner, mode, attributes (lsattr) and mount, or "
                f"{ELSEWHERE}"
            )


def _check_content(path: Path) -> None:
    """Refuses a file that is not an intact gallery; opens it for reading only."""
    # Without a log the file is complete: immutable=1 keeps SQLite from creating files beside it.
    alone = not any(Path(f"{path}{log}").exists() for log in ("-wal", "-journal"))
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable={int(alone)}"
    reading = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool
    )
    try:
        with reading.connect() as file:
            found: str = file.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(found.split()))  # from several lines
            check_schema(file, str(path), ADVICE)
    except (DatabaseError, sqlite3.DatabaseError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error
        raise GalleryUnusable(f"gallery {path} cannot be read: {reason}; {ADVICE}") from error


def _engine(url: str, file: OpenedFile) -> Engine:
    # hide_parameters keeps templates out of the message of a failed statement.
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)

    @event.listens_for(engine, "do_connect")
    def connect(*_: object) -> None:
        file.check()  # SQLite would create another one

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # begin() below opens transactions, not the driver
        connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for a writer
        connection.execute("PRAGMA secure_delete=ON")  # deleted rows are overwritten
        connection.execute("PRAGMA temp_store=MEMORY")  # no templates in temporary files
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        file.check()
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _leave_wal_mode(path: Path, file: OpenedFile) -> None:
    """Makes the file whole without others beside it, unless another process has it open."""
    with suppress(GalleryUnusable, sqlite3.Error):
        file.check()
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")


def _purge(engine: Engine) -> None:
    """Removes every trace of erased rows from the file and its log.

    secure_delete overwrites a deleted row, but not the stale copies that SQLite leaves in a page
    when it rebalances its trees. VACUUM writes all pages anew from the remaining rows. Its time
    and memory are proportional to the file's size.
    """
    try:
        with named_failures(engine), engine.connect() as connection:
            raw = connection.connection.cursor()
            raw.execute("VACUUM")
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except GalleryBusy:  # the erasure itself is committed: to report it as failed would be wrong
        busy = True
    if busy:
        logger.warning(
            "%s is in use: traces of erased rows stay in its files until the next erasure",
            engine.url,
        )
