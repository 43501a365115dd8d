"""Enrolments that were done, in the database: a request that is repeated is not done again."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from app.gallery.errors import RequestDiffers
from app.gallery.once import Once
from app.gallery.sql.schema import REQUESTS

REMEMBERED = timedelta(days=1)
"""How long a request is remembered."""


def was_done(connection: Connection, once: Once) -> bool:
    """Tells whether a request was done before.

    Raises:
        RequestDiffers: if another request was done under its key.
    """
    since = (datetime.now(UTC) - REMEMBERED).isoformat()
    own = (REQUESTS.c.digest == once.digest, REQUESTS.c.done_at >= since)
    query = select(REQUESTS.c.content).where(*own)
    content = connection.scalars(query).first()
    if content is not None and content != once.content:
        raise RequestDiffers
    return content is not None


def remember(connection: Connection, once: Once) -> None:
    """Remembers that a request was done, and forgets old ones."""
    now = datetime.now(UTC)
    connection.execute(delete(REQUESTS).where(REQUESTS.c.done_at < (now - REMEMBERED).isoformat()))
    row = {"digest": once.digest, "content": once.content, "done_at": now.isoformat()}
    connection.execute(insert(REQUESTS), row)
