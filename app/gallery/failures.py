"""Names the store in every failure of its database."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app.gallery.gallery import GalleryUnusable


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns the database driver's errors into a `GalleryUnusable` that names the store."""
    try:
        yield
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        # A raw cursor raises the driver's error.
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise GalleryUnusable(
            f"gallery {engine.url} failed: {reason}; check that it can be written, that no other "
            "program locks it and that the disk has room"
        ) from error
