"""Names the store in every failure of its database."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.gallery.errors import GalleryBusy, GalleryUnreachable, GalleryUnusable

_UNREACHABLE_SQLITE = ("SQLITE_CANTOPEN", "SQLITE_IOERR")
_UNREACHABLE_POSTGRESQL = ("08", "53300", "57P")  # connections, too many of them, shutdowns


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns the database driver's errors into a `GalleryUnusable` that names the store."""
    try:
        yield
    except (
        DBAPIError,
        PoolTimeout,
        PendingRollbackError,  # of whatever is done with a connection after it was lost
        engine.dialect.loaded_dbapi.Error,
    ) as error:
        # A raw cursor raises the driver's error.
        cause = error.orig if isinstance(error, DBAPIError) else error
        if getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise GalleryBusy(
                f"gallery {engine.url} is locked by another program; try again"
            ) from error
        reason = str(cause)
        # PostgreSQL's details may quote a row, and so a template.
        told = " ".join(reason.partition("\nDETAIL:")[0].split())
        kind = GalleryUnreachable if is_unreachable(error) else GalleryUnusable
        raise kind(
            f"gallery {engine.url} failed: {told}; check that it can be reached and written, and "
            "that the disk has room"
        ) from error


def is_unreachable(error: Exception) -> bool:
    """Tells whether a driver's or SQLAlchemy's error means that the store cannot be reached."""
    if isinstance(error, PoolTimeout | PendingRollbackError):  # all connections hang, or it is lost
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", "")  # None if the server gave no answer
    # Of a connection that cannot be made, psycopg knows no state either.
    silent = state is None and type(cause).__name__ == "OperationalError"
    return (
        lost
        or silent
        or (state or "").startswith(_UNREACHABLE_POSTGRESQL)
        or getattr(cause, "sqlite_errorname", "").startswith(_UNREACHABLE_SQLITE)
    )
