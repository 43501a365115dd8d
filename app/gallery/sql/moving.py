"""Renames and merges subjects in the database, and reads all that is stored of one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, RowMapping, insert, select, update

from app.audit.pseudonyms import Pseudonyms
from app.gallery.encryption.vault import Vault
from app.gallery.erasure import Erasure
from app.gallery.errors import HandsDiffer, SameSubject, TrainedFixed
from app.gallery.retention import read_expired
from app.gallery.sight import Sight
from app.gallery.sql.erasing import Eraser
from app.gallery.sql.erasures import read_erasure, read_erasures_of
from app.gallery.sql.fields import note_rename, read_renames
from app.gallery.sql.ids import require_free
from app.gallery.sql.records import Check, Record, StoredMap, accept
from app.gallery.sql.schema import MAPS, REMOVED, SUBJECTS
from app.gallery.sql.subjects import read_key, read_nameless, read_subject
from app.gallery.sql.sums import read_shares, replace_shares, summed_formats
from app.gallery.sql.templates import copy_templates, read_templates, renumber
from app.matching.maps import MapShape

Reading = Callable[[], AbstractContextManager[Connection]]


class Writing(Protocol):
    """Opens a writer's transaction."""

    def __call__(self, *, purges: bool) -> AbstractContextManager[tuple[Connection, int]]:
        """Returns the transaction and its revision; `purges` if its caller purges afterwards."""
        ...


class SqlRecords:
    """The `Records` of a gallery in an SQL database."""

    def __init__(
        self,
        reading: Reading,
        writing: Writing,
        vault: Vault,
        eraser: Eraser,
        pseudonyms: Pseudonyms,
        sight: Sight,
    ) -> None:
        """Creates the access; reads nothing.

        Args:
            reading: opens a transaction in which all reads see one revision.
            writing: opens a writer's transaction.
            vault: the gallery's vault.
            eraser: erases from the gallery.
            pseudonyms: what receipts call the subjects.
            sight: which subjects are seen.
        """
        self._reading = reading
        self._writing = writing
        self._vault = vault
        self._eraser = eraser
        self._pseudonyms = pseudonyms
        self._sight = sight

    def seeing(self, sight: Sight) -> "SqlRecords":
        """Returns the same records as a caller of this sight may see them."""
        limited = copy(self)
        limited._sight = sight
        return limited

    def now(self) -> datetime:
        """See `Records.now`."""
        return self._sight.now()

    def expired(self, limit: int) -> list[str]:
        """See `Records.expired`."""
        with self._reading() as connection:
            return read_expired(connection, self._sight.now(), limit)

    def rename(self, subject_id: str, new_id: str) -> Erasure:
        """See `Records.rename`."""
        with self._writing(purges=True) as (connection, revision):
            row = self._sight.read_row(connection, subject_id)
            subject = read_nameless(connection, row)
            if subject.origin == "trained":
                raise TrainedFixed(subject_id, "be renamed")
            require_free(connection, new_id, self._sight, besides=subject_id)
            # The key that is destroyed encrypted whatever unused parts of the files still hold.
            key = read_key(connection, self._vault, row)
            connection.execute(insert(REMOVED), {"number": row["number"], "revision": revision})
            erasure = self._eraser.record(connection, "id", revision, subject_id, row["number"])
            told = {**row, "details": note_rename(row, key, erasure)}
            renumber(connection, self._vault, told, key, revision, new_id)
        return self._purge(erasure)

    def merge(self, subject_id: str, other: str, check: Check = accept) -> Erasure:
        """See `Records.merge`."""
        if subject_id == other:
            raise SameSubject(subject_id)
        with self._writing(purges=True) as (connection, revision):
            rows = [self._sight.read_row(connection, one) for one in (subject_id, other)]
            kept, gone = (read_nameless(connection, row) for row in rows)
            check(kept)
            check(gone)
            if gone.origin == "trained":
                raise TrainedFixed(other, "be merged into another subject")
            if kept.hand and gone.hand and kept.hand != gone.hand:
                raise HandsDiffer(subject_id, other)
            _merge(connection, self._vault, revision, *rows)
            erasure = self._eraser.erase(connection, revision, other)
        return self._purge(erasure)

    def read(self, subject_id: str) -> Record:
        """See `Records.read`."""
        with self._reading() as connection:
            row = self._sight.read_row(connection, subject_id)
            subject = read_subject(connection, self._vault, row)
            renames = read_renames(row, read_key(connection, self._vault, row))
            pseudonym = self._pseudonyms.of(subject_id)
            return Record(
                subject=subject,
                templates=read_templates(connection, subject_id),
                maps=_read_maps(connection, self._vault, row),
                erasures=read_erasures_of(connection, pseudonym, subject.created_at, renames),
            )

    def _purge(self, erasure_id: str) -> Erasure:
        self._eraser.purge()
        with self._reading() as connection:
            return read_erasure(connection, erasure_id)


def _merge(
    connection: Connection, vault: Vault, revision: int, row: RowMapping, other: RowMapping
) -> None:
    """Copies another subject's templates to a subject; the other one is erased afterwards."""
    subject_id = row["subject_id"]
    key, other_key = read_key(connection, vault, row), read_key(connection, vault, other)
    formats = summed_formats(connection) if row["origin"] == "enrolled" else []
    before = read_shares(connection, subject_id, key, formats)
    copy_templates(connection, other["subject_id"], other_key, subject_id, key)
    own = SUBJECTS.c.subject_id == subject_id
    connection.execute(update(SUBJECTS).where(own).values(changed=revision))
    after = read_shares(connection, subject_id, key, formats)
    # Before the other's share is subtracted: a sum that is computed anew counts both.
    replace_shares(connection, vault, before, after)


def _read_maps(connection: Connection, vault: Vault, row: RowMapping) -> list[StoredMap]:
    key = read_key(connection, vault, row)
    shapes: dict[tuple[str, str], MapShape] = {
        (of.net, of.template_id): of.shape for of in summed_formats(connection)
    }
    query = select(MAPS).where(MAPS.c.subject_id == row["subject_id"])
    return [
        StoredMap(
            one.number,
            one.net,
            one.template_id,
            shapes.get((one.net, one.template_id)),
            key.decrypt_map(one.map, one.net, one.template_id, one.number, one.transform),
            one.camera,
        )
        for one in connection.execute(query.order_by(MAPS.c.number, MAPS.c.net))
    ]
