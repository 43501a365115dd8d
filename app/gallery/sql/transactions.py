"""Opens the transactions of a gallery in a database."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, update

from app.gallery.backup.state import OpenedState
from app.gallery.encryption.vault import Vault
from app.gallery.errors import GalleryUnusable
from app.gallery.sql.erasing import Eraser
from app.gallery.sql.failures import named_failures
from app.gallery.sql.schema import GALLERY
from app.master_key import MasterKeyUnusable


class Transactions:
    """The transactions of one gallery in one process."""

    def __init__(self, engine: Engine, snapshots: Engine, vault: Vault) -> None:
        """Opens none.

        Args:
            engine: the gallery's database.
            snapshots: the same, with transactions in which all reads see one revision.
            vault: follows rotations of the master key.
        """
        self._engine = engine
        self._snapshots = snapshots
        self._vault = vault
        self._state = OpenedState()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Opens a transaction, in which all reads see one revision."""
        with self._reading() as (connection, _):
            yield connection

    def revision(self) -> int:
        """Reads the gallery's revision."""
        with self._reading() as (_, revision):
            return revision

    @contextmanager
    def _reading(self) -> Generator[tuple[Connection, int]]:
        with named_failures(self._engine), self._snapshots.begin() as connection:
            state = self._state.check(connection, writes=False)
            _follow_rotation(state.master, self._vault.know)
            yield connection, state.revision

    @contextmanager
    def writing(self, eraser: Eraser | None) -> Generator[tuple[Connection, int]]:
        """Opens a transaction, increments the revision and returns both.

        Writers wait for each other at this first statement. So what a writer reads afterwards
        cannot change before it writes.

        Args:
            eraser: tries again afterwards what no process could purge before; None if the caller
                purges anyway.
        """
        with named_failures(self._engine):
            with self._engine.begin() as connection:
                connection.execute(update(GALLERY).values(revision=GALLERY.c.revision + 1))
                state = self._state.check(connection, writes=True)
                _follow_rotation(state.master, self._vault.use)
                is_due = eraser is not None and eraser.is_due(connection)
                yield connection, state.revision
            if eraser is not None and is_due:
                eraser.purge(wait=False)


def _follow_rotation(fingerprint: str, follow: Callable[[str], None]) -> None:
    """Finds the master key that another process may have encrypted the gallery under.

    Only writers `use` it: readers may still see the gallery from before a rotation.

    Raises:
        GalleryUnusable: if that key cannot be read: otherwise every row would seem damaged.
    """
    try:
        follow(fingerprint)
    except MasterKeyUnusable as error:
        raise GalleryUnusable(str(error)) from error
