"""Notices that an opened gallery was restored, or that an earlier state of it was put back."""

from typing import NamedTuple

from sqlalchemy import Connection

from app.gallery.errors import GalleryUnusable

_ADVICE = "stop the service, and start it again"

# Every search asks: as an expression, SQLAlchemy would take several times as long.
_QUERY = "SELECT master, generation, revision FROM gallery"


class State(NamedTuple):
    """The state of a gallery that a transaction sees.

    Attributes:
        master: fingerprint of its master key.
        revision: its revision.
    """

    master: str
    revision: int


class OpenedState:
    """Remembers which state of a gallery a process has seen; safe for threads."""

    def __init__(self) -> None:
        """Remembers nothing yet."""
        self._generation: tuple[str | None] | None = None  # none before the first check
        self._seen = 0

    def check(self, connection: Connection, *, writes: bool) -> State:
        """Returns the state of the gallery.

        Args:
            connection: a transaction; of a reader, its first statement.
            writes: whether it has incremented the revision, which a rollback would take back.

        Raises:
            GalleryUnusable: if this is no later state of the gallery that was seen before.
                Whatever this process has in memory then belongs to another state.
        """
        seen = self._seen  # before the transaction's snapshot, which may be older than the next
        row = connection.exec_driver_sql(_QUERY).one()
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
        return State(row.master, row.revision)
