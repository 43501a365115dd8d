"""Erases subjects and templates: their rows at once, and their keys beyond recovery."""

import logging
from typing import Literal

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select

from app.audit.pseudonyms import Pseudonyms
from app.gallery.encryption.vault import Vault
from app.gallery.erasure import Erased, Erasure, Files
from app.gallery.errors import GalleryUnusable, NotPurged
from app.gallery.pgvector.schema import coarse_mark
from app.gallery.sql.erasures import (
    PLAIN_LEFT,
    is_pending,
    judge,
    leave_nothing,
    pending_marks,
    pending_numbers,
    read_rows,
    record_erasure,
    set_done,
)
from app.gallery.sql.failures import named_failures
from app.gallery.sql.records import Check, accept
from app.gallery.sql.schema import ERASED, GALLERY, REMOVED, SUBJECTS
from app.gallery.sql.subjects import read_key, read_nameless, read_row
from app.gallery.sql.sums import read_shares, replace_shares, summed_formats
from app.gallery.sql.templates import remove_template

logger = logging.getLogger(__name__)

Scrub = Literal["nothing", "plain rows", "everything"]


class Eraser:
    """Erases from one gallery; what is still to be purged stands there, for all processes."""

    def __init__(self, engine: Engine, vault: Vault, files: Files, pseudonyms: Pseudonyms) -> None:
        """Creates the eraser.

        Args:
            engine: the gallery's database.
            vault: the gallery's vault.
            files: the database's files.
            pseudonyms: what receipts call the subjects.
        """
        self._engine = engine
        self._vault = vault
        self._files = files
        self._pseudonyms = pseudonyms

    def erase(
        self, connection: Connection, revision: int, subject_id: str, check: Check = accept
    ) -> str:
        """Removes the rows of a subject within a writer's transaction; call `purge` afterwards.

        Args:
            connection: the transaction.
            revision: the transaction's.
            subject_id: the subject.
            check: called with the subject, without its name; whatever it raises keeps it.

        Returns:
            The erasure's id.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        row = read_row(connection, subject_id)
        subject = read_nameless(connection, row)
        check(subject)
        key = read_key(connection, self._vault, row)
        formats = summed_formats(connection) if subject.origin == "enrolled" else []
        before = read_shares(connection, subject_id, key, formats)
        connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id))
        connection.execute(insert(REMOVED), {"number": row["number"], "revision": revision})
        after = read_shares(connection, subject_id, key, formats)
        replace_shares(connection, self._vault, before, after)
        if subject.origin == "trained":
            connection.execute(insert(ERASED), {"subject_id": subject_id})
        return self.record(connection, "subject", revision, subject_id, row["number"])

    def erase_template(
        self, connection: Connection, revision: int, subject_id: str, number: int
    ) -> str:
        """Removes the rows of a template within a writer's transaction, as `erase` a subject's."""
        former = remove_template(connection, self._vault, revision, subject_id, number)
        return self.record(connection, "template", revision, subject_id, former)

    def repair(self, connection: Connection, revision: int) -> bool:
        """Removes keys without a subject, and erases subjects without a key.

        A crash leaves the former. The latter were erased after the backup was made from which the
        gallery was restored, but not its keys.

        Args:
            connection: a writer's transaction: it keeps others from adding a key meanwhile.
            revision: the transaction's.

        Returns:
            Whether anything changed.

        Raises:
            GalleryUnusable: if no subject has a key, because then the keys are lost or others'.
        """
        rows = connection.execute(select(SUBJECTS.c.number, SUBJECTS.c.subject_id)).all()
        ids = {row.number: row.subject_id for row in rows}
        keys = self._vault.wrapped.numbers(connection)
        if ids and not keys & ids.keys():
            raise GalleryUnusable(
                f"gallery {self._engine.url} has no key of any subject: restore the keys that "
                "belong to it, of a SQLite file those in the file beside it whose name ends in "
                ".keys; nothing was changed"
            )
        if erased := ids.keys() - keys:
            logger.warning("subjects whose keys were erased, and who are now too: %d", len(erased))
        for number in erased:
            self.erase(connection, revision, ids[number])
        self._vault.wrapped.remove(connection, keys - ids.keys())
        return keys != ids.keys()

    def is_due(self, connection: Connection) -> bool:
        """Tells whether a purge that any process could not finish is to be tried again."""
        return is_pending(connection, log=self._files.purges_log)

    def purge(self, *, wait: bool = True, is_start: bool = False) -> bool:
        """Removes the keys of erased subjects from the files, and records what is done.

        Whatever keeps it from that is logged; the next change, erasure or start tries again.
        Plain rows of a former release are removed at a start only: that writes the whole store
        anew, for which no change should wait.

        Args:
            wait: whether to wait a moment for whoever reads the files.
            is_start: whether to remove plain rows, too.

        Returns:
            Whether another purge could remove nothing more.
        """
        try:
            self._purge(wait=wait, scrub="plain rows" if is_start else "nothing")
        except GalleryUnusable as error:
            logger.warning(
                "erased bytes may still be in the gallery's files; the next change, erasure or "
                "start tries again (for rows that a former release left in plain bytes: the next "
                "start, or `python -m app erasures verify`): %s",
                error,
            )
            return False
        return True

    def verify(self) -> list[Erasure]:
        """See `Gallery.verify_erasures`.

        Raises:
            NotPurged: if not everything could be written anew.
        """
        self._judge()  # a key that was restored from a backup makes its erasure pending again
        try:
            self._purge(wait=True, scrub="everything")
        except GalleryUnusable as error:
            raise NotPurged(str(error), self._judge()) from error
        return self._judge()

    def _judge(self) -> list[Erasure]:
        with self._engine.begin() as connection:
            rows = read_rows(connection)
            found = self._files.find({mark for row in rows for mark in self._marks(row)})
            return judge(connection, self._vault.wrapped, rows, found, self._marks)

    def _marks(self, row: RowMapping) -> set[str]:
        """Returns what marks the erased key and coarse maps of a receipt."""
        marks = {row["mark"]} if row["mark"] else set[str]()
        return marks | {coarse_mark(self._pseudonyms, row["number"])}

    def _purge(self, *, wait: bool, scrub: Scrub) -> None:
        """Does what `purge` tells.

        Args:
            wait: whether to wait a moment for whoever reads the files.
            scrub: for what to write all tables anew, too: for plain rows that may be left, or even
                if nothing is pending.

        Raises:
            GalleryUnusable: if something may be left.
        """
        with named_failures(self._engine):
            if not self._remove(wait=wait, scrub=scrub):
                raise GalleryUnusable(
                    f"gallery {self._engine.url} is read by another program, which keeps its files "
                    "from being cleared: end that program's transaction"
                )

    def _remove(self, *, wait: bool, scrub: Scrub) -> bool:
        with self._engine.begin() as connection:
            if not (scrub == "everything" or self.is_due(connection)):
                return True
            revision, left = connection.execute(
                select(GALLERY.c.revision, GALLERY.c.leftover)
            ).one()
            numbers, marks = pending_numbers(connection), pending_marks(connection)
        with self._engine.begin() as connection:
            self._vault.wrapped.remove(connection, numbers)
        is_thorough = left is not None or scrub == "everything"
        purged = self._files.purge(marks, wait=wait, secrets=is_thorough)
        with self._engine.begin() as connection:
            if purged.database:
                set_done(connection, "database", revision)
            if purged.log:
                set_done(connection, "log", revision)
        # Whoever keeps a purge from its end would also make a scrub vain, which takes long.
        if not purged.is_complete:
            return False
        has_plain = left == PLAIN_LEFT
        scrubs = scrub == "everything" or (scrub == "plain rows" and has_plain)
        if scrubs and not self._files.scrub():
            return False
        if left is not None and (scrubs or not has_plain):
            with self._engine.begin() as connection:
                leave_nothing(connection, revision)
        return True

    def record(
        self, connection: Connection, erased: Erased, revision: int, subject_id: str, number: int
    ) -> str:
        """Records an erasure within its transaction; see `record_erasure`."""
        pseudonym = self._pseudonyms.of(subject_id)
        wrapped = self._vault.wrapped
        return record_erasure(connection, wrapped, erased, pseudonym, revision, number)
