"""Writes and restores backups of a gallery in any SQL database."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from sqlalchemy import Connection, exists, func, select

from app.gallery.backup.contents import Contents, Later, Restored, Written
from app.gallery.backup.restoring import is_same_gallery, restore_gallery
from app.gallery.backup.rows import write_gallery
from app.gallery.encryption.vault import Vault
from app.gallery.errors import GalleryUnusable
from app.gallery.sql.schema import ERASURES, SUBJECTS
from app.gallery.sql.seeding import is_unused, seed_trained

Reading = Callable[[], AbstractContextManager[Connection]]
Writing = Callable[[], AbstractContextManager[tuple[Connection, int]]]


class SqlBackups:
    """The `Backups` of a gallery in a database."""

    def __init__(
        self, reading: Reading, writing: Writing, repair: Callable[[], None], vault: Vault
    ) -> None:
        """Creates the access.

        Args:
            reading: opens a transaction in which all reads see one revision.
            writing: opens a writer's transaction, and returns it with its revision.
            repair: removes keys without a subject, see `Eraser.repair`.
            vault: the gallery's vault.
        """
        self._reading = reading
        self._writing = writing
        self._repair = repair
        self._vault = vault

    def write(self, out: BinaryIO) -> Written:
        """See `Backups.write`."""
        with self._reading() as connection:
            return write_gallery(connection, self._vault, out)

    def is_same(self, contents: Contents) -> bool:
        """See `Backups.is_same`."""
        with self._reading() as connection:
            return is_same_gallery(connection, self._vault, contents)

    def restore(
        self,
        contents: Contents,
        read: Callable[[], AbstractContextManager[BinaryIO]],
        later: Later,
        *,
        replace: bool,
    ) -> Restored:
        """See `Backups.restore`."""
        with self._writing() as (connection, revision):
            if self._check_place(connection, contents, replace=replace):
                # Another gallery's numbers may be those of the backup. Nothing is lost with them:
                # the next start adds what the nets know.
                seed_trained(connection, self._vault, revision, [])
        self._repair()
        with self._writing() as (connection, revision), read() as source:
            self._check_place(connection, contents, replace=replace)
            return restore_gallery(connection, self._vault, revision, contents, source, later)

    def _check_place(self, connection: Connection, contents: Contents, *, replace: bool) -> bool:
        """Refuses a gallery that must not be replaced; returns whether it is another, empty one."""
        subjects = _count_used(connection)
        if is_same_gallery(connection, self._vault, contents):
            if subjects and not replace:
                raise GalleryUnusable(
                    f"the gallery has {subjects} subjects: add --replace to go back to the backup; "
                    "whoever was enrolled since then is lost, and what was erased since then stays "
                    "erased"
                )
            return False
        if subjects or connection.scalars(select(exists(select(ERASURES)))).one():
            raise GalleryUnusable(
                f"{connection.engine.url} is another gallery than the backup's, and has "
                f"{subjects} subjects: name an empty one by PALM_GALLERY_URL, or move this one away"
            )
        return True


def _count_used(connection: Connection) -> int:
    """Returns the number of subjects that somebody enrolled or changed."""
    query = select(func.count()).select_from(SUBJECTS).where(~is_unused())
    return connection.scalars(query).one()
