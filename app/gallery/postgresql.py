"""Opens and vacuums a gallery in a PostgreSQL database."""

import logging
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from app.gallery.errors import GalleryUnusable
from app.gallery.failures import named_failures
from app.gallery.migrations import check_schema, migrate
from app.gallery.sql import SqlGallery

logger = logging.getLogger(__name__)

OLDEST = 15  # the oldest major version that is tested and still maintained
OPENING = 0x70616C6D  # "palm"

CONNECT_TIMEOUT_S = 3
UNANSWERED_TIMEOUT_S = 3  # of a connection that was open
STATEMENT_TIMEOUT_S = 5  # also bounds how long a writer waits for the others
ANSWER_TIMEOUT_S = STATEMENT_TIMEOUT_S + 1  # then the server is frozen, not slow
IDLE_TIMEOUT_S = 10
"""A process that hangs within a transaction loses it, because every other writer waits for it."""

ADVICE = "set PALM_GALLERY_URL to another database; this one was left untouched"
VACUUM = "VACUUM (TRUNCATE OFF) subjects, maps, map_sums"  # truncating would wait for readers


def open_postgresql(url: str) -> SqlGallery:
    """Opens a gallery, or creates its tables in an empty database; several processes may share it.

    A gallery of an earlier release is upgraded, see `app.gallery.migrations`.

    Args:
        url: "postgresql://user:password@host:port/database".

    Raises:
        GalleryUnusable: if the server cannot be reached or is too old, or if the database is not a
            gallery; it is then unchanged.
    """
    engine = _engine(url)
    try:
        with named_failures(engine), engine.begin() as connection:
            lock_opening(connection)
            _check_server(connection)
            check_schema(connection, str(engine.url), ADVICE)
            migrate(connection)
    except GalleryUnusable:
        engine.dispose()
        raise
    # Elsewhere each statement would see a revision of its own. Writers need just that: one that has
    # waited for another reads what the other wrote, and no transaction fails to be serialized.
    snapshots = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    return SqlGallery(engine, snapshots=snapshots, purge=lambda: _vacuum(engine))


def lock_opening(connection: Connection) -> None:
    """Waits until no other process creates or upgrades the tables, and keeps others from it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": OPENING})


Result = TypeVar("Result")


class _Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server gives no answer.

    A frozen server keeps its sockets open, and would otherwise be waited for without end.
    """

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        try:
            return super().wait(gen, interval, timeout or ANSWER_TIMEOUT_S)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise psycopg.OperationalError(
                f"the server gave no answer for {ANSWER_TIMEOUT_S} s"
            ) from error


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


def _vacuum(engine: Engine) -> None:
    """Frees the space of erased rows, which PostgreSQL overwrites only as it needs it.

    If that fails, the rows are erased nevertheless, and the server's autovacuum frees them later.
    """
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with autocommit.connect() as connection:
            connection.execute(text(VACUUM))
    except SQLAlchemyError:
        logger.warning(
            "%s: erased rows are not vacuumed yet; autovacuum will do it", engine.url, exc_info=True
        )
