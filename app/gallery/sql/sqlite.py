"""Opens, checks and purges a gallery in one SQLite file."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, select
from sqlalchemy.exc import DatabaseError

from app.gallery.encryption.marks import find_marks
from app.gallery.encryption.reencryption import unlock
from app.gallery.encryption.vault import Vault
from app.gallery.encryption.wrapped import WrappedKeys
from app.gallery.erasure import Found, Purged
from app.gallery.errors import GalleryUnreachable, GalleryUnusable
from app.gallery.retention import utc_now
from app.gallery.sql.failures import is_unreachable, named_failures
from app.gallery.sql.files import OpenedFile, keep_private, warn_of_missing_log
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.migrations import check_schema, migrate
from app.gallery.sql.schema import GALLERY, SUBJECT_KEYS
from app.master_key import MasterKeys, MasterKeyUnusable

BUSY_TIMEOUT_S = 10.0
PURGE_TIMEOUT_S = 1.0  # how long a purge waits for readers of the log
KEYS = ".keys"  # ends the name of the file beside the gallery that holds the subjects' keys
ELSEWHERE = "set PALM_GALLERY_URL to another file; this one was left untouched"
ADVICE = f"restore a backup or {ELSEWHERE}"


def open_sqlite(
    url: str, masters: MasterKeys, *, now: Callable[[], datetime] = utc_now
) -> SqlGallery:
    """Opens a gallery file, or creates it and its folder; several processes may share it.

    New files are for their owner only. Once another file takes the place of an opened one, every
    use of the gallery raises `GalleryUnusable`.

    A gallery of an earlier release is upgraded, see `app.gallery.sql.migrations`, and encrypted. A
    second file beside the gallery holds the subjects' keys: it is small, so that it can be written
    anew after each erasure.

    Args:
        url: "sqlite:///relative/path.db" or "sqlite:////absolute/path.db".
        masters: the place of the master key.
        now: returns the present time, by which retention dates pass.

    Raises:
        GalleryUnusable: if the file cannot be written, is damaged or is not a gallery. It is then
            unchanged, and no file is created beside it.
        GalleryUnreachable: if its disk cannot be used now; likewise.
        MasterKeyUnusable: if the master key is missing or another one; nothing is changed.
    """
    path = Path(make_url(url).database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_writable(path)
        if path.exists() and path.stat().st_size:
            _check_content(path)
            warn_of_missing_log(path)
        keep_private(path)
        engine = _engine(url, OpenedFile(path))
    except OSError as error:
        raise GalleryUnreachable(f"gallery {path} cannot be opened: {error}; {ADVICE}") from error
    keys: Engine | None = None
    try:
        with named_failures(engine):
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                migrate(connection)
                keys = _engine(url + KEYS, _create_keys(connection, Path(f"{path}{KEYS}")))
                SUBJECT_KEYS.metadata.create_all(keys)
                vault = Vault(masters, WrappedKeys(keys))
                unlock(connection, vault)
            gallery = SqlGallery(engine, vault, SqliteFiles(engine, keys), now=now)
            gallery.repair()
    except (GalleryUnusable, MasterKeyUnusable):
        for one in (engine, keys):
            if one is not None:
                one.dispose()
        raise
    return gallery


def _create_keys(connection: Connection, path: Path) -> OpenedFile:
    """Creates the file of the subjects' keys, unless there is one.

    Raises:
        GalleryUnusable: if it is missing beside an encrypted gallery, or cannot be created.
    """
    is_encrypted = connection.scalars(select(GALLERY.c.master)).one() is not None
    if is_encrypted and not path.exists():
        raise GalleryUnusable(
            f"{path} is missing, which holds the keys of {connection.engine.url.database}: restore "
            "both files from one backup; nothing was changed"
        )
    try:
        keep_private(path)
        return OpenedFile(path)
    except OSError as error:
        raise GalleryUnreachable(f"{path} cannot be opened: {error}; {ADVICE}") from error


def _check_writable(path: Path) -> None:
    """Refuses a file, or a folder for SQLite's log, that this process may not write."""
    if path.exists() and not path.stat().st_mode & 0o222:  # root could write it nevertheless
        raise GalleryUnusable(f"gallery {path} is marked read-only; chmod u+w it, or {ELSEWHERE}")
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=True):
            raise GalleryUnreachable(  # as of the folder on which its disk is mounted
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
        kind = GalleryUnreachable if is_unreachable(error) else GalleryUnusable
        raise kind(f"gallery {path} cannot be read: {reason}; {ADVICE}") from error


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

    @event.listens_for(engine, "engine_disposed")
    def close(_: Engine) -> None:
        # Leaves one whole file, without others beside it, unless another process has it open.
        with suppress(GalleryUnusable, sqlite3.Error):
            file.check()
            with closing(sqlite3.connect(file.path, timeout=0)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE")

    return engine


class SqliteFiles:
    """The files of a gallery and of its keys; see `Files`."""

    purges_log = True

    def __init__(self, engine: Engine, keys: Engine) -> None:
        """Creates the access.

        Args:
            engine: the gallery's file.
            keys: the file of the subjects' keys.
        """
        self._engine = engine
        self._keys = keys

    def purge(self, marks: set[str], *, wait: bool, secrets: bool = False) -> Purged:
        """See `Files.purge`.

        secure_delete overwrites a deleted row, but not the stale copies that SQLite leaves in a
        page when it rebalances its trees. If a search finds a nonce, without which nobody can
        decrypt the key, VACUUM writes all pages anew from the remaining rows. That takes time in
        proportion to the subjects. The table of secrets needs none: it has one page.
        """
        database = secrets or _truncate_log(self._keys, wait=wait)
        file = Path(str(self._keys.url.database))
        if secrets or (database and find_marks(_read(file), marks)):
            database = _write_anew(self._keys, wait=wait)
        return Purged(database, database and _truncate_log(self._engine, wait=wait))

    def scrub(self) -> bool:
        """See `Files.scrub`."""
        return _write_anew(self._engine, wait=True)

    def find(self, marks: set[str]) -> Found:
        """See `Files.find`."""
        path = str(self._keys.url.database)
        found = [find_marks(_read(Path(f"{path}{log}")), marks) for log in ("", "-wal")]
        return Found(*found, proves_log=False)  # the gallery's log has ids


def _write_anew(engine: Engine, *, wait: bool) -> bool:
    """Writes a file anew from its rows, and empties its log; returns whether nobody read it."""
    with engine.connect() as connection:
        connection.connection.cursor().execute("VACUUM")
    return _truncate_log(engine, wait=wait)


def _truncate_log(engine: Engine, *, wait: bool) -> bool:
    """Moves the log into the file and empties it, unless somebody reads it."""
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute(f"PRAGMA busy_timeout={int(PURGE_TIMEOUT_S * 1000) if wait else 0}")
        try:
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
    return not busy


def _read(file: Path) -> bytes:
    """Returns the bytes of a file, none if there is no such file."""
    return file.read_bytes() if file.exists() else b""
