"""Names the store in every failure of its database."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.gallery.errors import GalleryBusy, GalleryUnusable


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns the database driver's errors into a `GalleryUnusable` that names the store."""
    try:
        yield
    except (DBAPIError, PoolTimeout, engine.dialect.loaded_dbapi.Error) as error:
        # A raw cursor raises the driver's error.
        cause = error.orig if isinstance(error, DBAPIError) else error
        if getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise GalleryBusy(
                f"gallery {engine.url} is locked by another program; try again"
            ) from error
        reason = str(cause)
        # PostgreSQL's details may quote a row, and so a template.
        told = " ".join(reason.partition("\nDETAIL:")[0].split())
        raise GalleryUnusable(
            f"gallery {engine.url} failed: {told}; check that it can be reached and written, and "
            "that the disk has room"
        ) from error
