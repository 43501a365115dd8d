"""Opens and vacuums a gallery in a PostgreSQL database."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from app.gallery.encryption.marks import find_marks
from app.gallery.encryption.reencryption import unlock
from app.gallery.encryption.vault import Vault
from app.gallery.encryption.wrapped import WrappedKeys
from app.gallery.erasure import Found, Purged
from app.gallery.errors import GalleryUnusable
from app.gallery.pgvector.schema import partitions_of
from app.gallery.pgvector.tables import CoarseGallery
from app.gallery.retention import utc_now
from app.gallery.sql.erasures import pending_numbers
from app.gallery.sql.failures import named_failures
from app.gallery.sql.migrations import check_schema, migrate
from app.gallery.sql.schema import SECRETS
from app.master_key import MasterKeys, MasterKeyUnusable

OLDEST = 15  # the oldest major version that is tested and still maintained
OPENING = 0x70616C6D  # "palm"

CONNECT_TIMEOUT_S = 3
UNANSWERED_TIMEOUT_S = 3  # of a connection that was open
STATEMENT_TIMEOUT_S = 5  # also bounds how long a writer waits for the others
ANSWER_TIMEOUT_S = STATEMENT_TIMEOUT_S + 1  # then the server is frozen, not slow
MAINTENANCE_TIMEOUT_S = 3600  # of statements that write tables anew
IDLE_TIMEOUT_S = 10
"""A process that hangs within a transaction loses it, because every other writer waits for it."""

ADVICE = "set PALM_GALLERY_URL to another database; this one was left untouched"
PURGE = "VACUUM (FULL, VERBOSE)"
PURGED = "subject_keys"
SCRUB = "VACUUM FULL subjects, maps, map_sums"
LOCK_TIMEOUT_S = 1  # how long a purge waits for readers


def open_postgresql(
    url: str, masters: MasterKeys, *, now: Callable[[], datetime] = utc_now
) -> CoarseGallery:
    """Opens a gallery, or creates its tables in an empty database; several processes may share it.

    A gallery of an earlier release is upgraded, see `app.gallery.sql.migrations`, and encrypted.

    Args:
        url: "postgresql://user:password@host:port/database".
        masters: the place of the master key.
        now: returns the present time, by which retention dates pass.

    Raises:
        GalleryUnusable: if the server cannot be reached or is too old, or if the database is not a
            gallery; it is then unchanged.
        MasterKeyUnusable: if the master key is missing or another one; nothing is changed.
    """
    engine = _engine(url)
    # Elsewhere each statement would see a revision of its own. Writers need just that: one that has
    # waited for another reads what the other wrote, and no transaction fails to be serialized.
    snapshots = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    vault = Vault(masters, WrappedKeys())
    try:
        with named_failures(engine), engine.begin() as connection:
            lock_opening(connection)
            _check_server(connection)
            check_schema(connection, str(engine.url), ADVICE)
            migrate(connection)
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # it encrypts all rows once
            unlock(connection, vault)
        gallery = CoarseGallery(
            engine, vault, PostgresqlFiles(engine), snapshots=snapshots, now=now
        )
        gallery.repair()
    except (GalleryUnusable, MasterKeyUnusable):
        engine.dispose()
        raise
    return gallery


def lock_opening(connection: Connection) -> None:
    """Waits until no other process creates or upgrades the tables, and keeps others from it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": OPENING})


Result = TypeVar("Result")


class _Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server gives no answer.

    A frozen server keeps its sockets open, and would otherwise be waited for without end.
    """

    answer_timeout_s: float | None = None  # ANSWER_TIMEOUT_S

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        try:
            return super().wait(gen, interval, timeout or self._timeout_s)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise psycopg.OperationalError(
                f"the server gave no answer for {self._timeout_s} s"
            ) from error

    @property
    def _timeout_s(self) -> float:
        return self.answer_timeout_s or ANSWER_TIMEOUT_S


def _engine(url: str) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # keeps templates out of the message of a failed statement
        pool_pre_ping=True,  # a connection that the server has closed is replaced
        pool_timeout=STATEMENT_TIMEOUT_S,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": UNANSWERED_TIMEOUT_S * 1000,
            "keepalives_idle": UNANSWERED_TIMEOUT_S,
            "keepalives_interval": 1,
            "application_name": "palm",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s "
            f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S}s",
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, cargs: Any, cparams: Any) -> _Connection:
        return _Connection.connect(*cargs, **cparams)

    return engine


def _check_server(connection: Connection) -> None:
    """Refuses a server that is too old, and a database that cannot hold every name."""
    engine = connection.engine
    version = int(connection.scalars(text("SHOW server_version_num")).one()) // 10_000
    if version < OLDEST:
        raise GalleryUnusable(
            f"gallery {engine.url} is on PostgreSQL {version}: use {OLDEST} or newer"
        )
    encoding = connection.scalars(text("SHOW server_encoding")).one()
    if encoding != "UTF8":
        raise GalleryUnusable(
            f"gallery {engine.url} has the encoding {encoding}: create the database with UTF8"
        )


class PostgresqlFiles:
    """The files of a gallery's database; see `Files`."""

    purges_log = False

    def __init__(self, engine: Engine) -> None:
        """Takes the gallery's database."""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def purge(self, marks: set[str], *, wait: bool, secrets: bool = False) -> Purged:
        """See `Files.purge`. The log keeps removed keys until its segments are overwritten.

        The rows of coarse maps are not encrypted: those that were erased are removed alike. VACUUM
        FULL also copies deleted rows that an older transaction could still read. It says how many.
        """
        notices: list[str] = []

        def note(notice: Diagnostic) -> None:
            notices.append(notice.message_detail or "")

        with _maintenance(self._engine) as (connection, raw):
            if not wait:
                connection.execute(text("SET lock_timeout = 1"))
            own = [PURGED, *([SECRETS.name] if secrets else [])]
            tables = [*own, *partitions_of(connection, pending_numbers(connection))]
            raw.add_notice_handler(note)
            try:
                for table in tables:
                    connection.execute(text(f"{PURGE} {table}"))
            finally:
                raw.remove_notice_handler(note)
        kept = {found[0] for one in notices if (found := re.match(r"\d+\b", one))}
        return Purged(kept == {"0"}, None)

    def scrub(self) -> bool:
        """See `Files.scrub`. The gallery is locked meanwhile."""
        with _maintenance(self._engine) as (connection, _):
            connection.execute(text(", ".join([SCRUB, *partitions_of(connection)])))
        return True

    def find(self, marks: set[str]) -> Found:
        """See `Files.find`. Only a superuser of the database may read its files."""
        try:
            with self._engine.connect() as connection:
                return _search(connection, marks)
        except DBAPIError:
            return Found(None, marks, proves_log=False)


@contextmanager
def _maintenance(engine: Engine) -> Generator[tuple[Connection, _Connection]]:
    """Opens a connection, also as psycopg's; its statements may run long, but not wait long."""
    with engine.connect() as connection:
        raw = cast(_Connection, connection.connection.driver_connection)
        raw.answer_timeout_s = MAINTENANCE_TIMEOUT_S
        try:
            connection.execute(text(f"SET statement_timeout = '{MAINTENANCE_TIMEOUT_S}s'"))
            # Whoever waits for a table's lock makes all others wait behind him.
            connection.execute(text(f"SET lock_timeout = {int(LOCK_TIMEOUT_S * 1000)}"))
            yield connection, raw
        finally:
            raw.answer_timeout_s = None
            if not connection.invalidated:  # a lost one is not used again
                connection.execute(text("RESET lock_timeout"))
                connection.execute(text("RESET statement_timeout"))  # to the connection's options


def _search(connection: Connection, marks: set[str]) -> Found:
    """Returns the marks whose bytes are in the tables' files, or in the log."""
    connection.execute(text("CHECKPOINT"))
    if connection.scalars(text("SHOW wal_compression")).one() != "off":
        return Found(None, marks, proves_log=False)  # a compressed page would hide them
    names = [PURGED, *partitions_of(connection)]
    tables = " UNION ALL ".join(f"SELECT pg_relation_filepath('{name}')" for name in names)
    log = "SELECT 'pg_wal/' || name FROM pg_ls_waldir()"
    found = [_search_files(connection, files, marks) for files in (tables, log)]
    return Found(*found, proves_log=True)


def _search_files(connection: Connection, files: str, marks: set[str]) -> set[str]:
    read = text("SELECT pg_read_binary_file(:file, 0, 1000000000, true)")
    found: set[str] = set()
    for file in connection.scalars(text(files)).all():
        content = connection.scalars(read, {"file": file}).one() or b""
        found |= find_marks(content, marks)
    return found
