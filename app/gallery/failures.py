"""Names the store in every failure of its database."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.gallery.errors import GalleryUnusable


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns the database driver's errors into a `GalleryUnusable` that names the store."""
    try:
        yield
    except (DBAPIError, PoolTimeout, engine.dialect.loaded_dbapi.Error) as error:
        # A raw cursor raises the driver's error.
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        # PostgreSQL's details may quote a row, and so a template.
        told = " ".join(reason.partition("\nDETAIL:")[0].split())
        raise GalleryUnusable(
            f"gallery {engine.url} failed: {told}; check that it can be reached and written, that "
            "no other program locks it and that the disk has room"
        ) from error
