"""Notices that an opened gallery was restored, or that an earlier state of it was put back."""

from sqlalchemy import Connection, select

from app.gallery.errors import GalleryUnusable
from app.gallery.schema import GALLERY

_ADVICE = "stop the service, and start it again"


class OpenedState:
    """Remembers which state of a gallery a process has seen; safe for threads."""

    def __init__(self) -> None:
        """Remembers nothing yet."""
        self._generation: tuple[str | None] | None = None  # none before the first check
        self._seen = 0

    def check(self, connection: Connection, *, writes: bool) -> str:
        """Returns the fingerprint of the gallery's master key.

        Args:
            connection: a transaction; of a reader, its first statement.
            writes: whether it has incremented the revision, which a rollback would take back.

        Raises:
            GalleryUnusable: if this is no later state of the gallery that was seen before.
                Whatever this process has in memory then belongs to another state.
        """
        seen = self._seen  # before the transaction's snapshot, which may be older than the next
        query = select(GALLERY.c.master, GALLERY.c.generation, GALLERY.c.revision)
        row = connection.execute(query).one()
        if self._generation is None:
            self._generation = (row.generation,)
        if self._generation != (row.generation,):
            raise GalleryUnusable(
                f"gallery {connection.engine.url} was restored from a backup while it was open: "
                f"{_ADVICE}"
            )
        if row.revision < seen:
            raise GalleryUnusable(
                f"gallery {connection.engine.url} was put back to revision {row.revision} while "
                f"it was open at revision {seen}: {_ADVICE}. To go back to an earlier state, use "
                "`python -m app restore`"
            )
        if not writes:
            self._seen = max(self._seen, row.revision)
        return row.master
