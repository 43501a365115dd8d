"""The gallery in any SQL database; what one database needs is in its own module."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, select

from app.audit.pseudonyms import Pseudonyms
from app.gallery.backup.sql import SqlBackups
from app.gallery.collection import CollectionSize, Within
from app.gallery.encryption.reencryption import encrypt_anew, read_secrets
from app.gallery.encryption.renewal import rotate_templates
from app.gallery.encryption.vault import Vault
from app.gallery.erasure import Erasure, ErasureCounts, Files
from app.gallery.following import Changes, Position
from app.gallery.once import Once
from app.gallery.retention import utc_now
from app.gallery.sight import Sight
from app.gallery.sql.changes import read_changes
from app.gallery.sql.collections import count_by_collection
from app.gallery.sql.enrolling import place_subject
from app.gallery.sql.erasing import Eraser
from app.gallery.sql.erasures import count_erasures, read_erasure
from app.gallery.sql.failures import named_failures
from app.gallery.sql.fields import check_fields, write_fields
from app.gallery.sql.keys import SqlKeys
from app.gallery.sql.moving import SqlRecords
from app.gallery.sql.records import Check, FieldValue, accept
from app.gallery.sql.requests import remember, was_done
from app.gallery.sql.schema import MAPS, SITE, SUBJECTS
from app.gallery.sql.seeding import insert_rows, seed_trained
from app.gallery.sql.subjects import is_incomparable, read_key, read_page, read_row, read_subject
from app.gallery.sql.sums import read_shares, read_sums, replace_shares
from app.gallery.sql.templates import insert_templates, read_templates
from app.gallery.sql.transactions import Transactions
from app.gallery.subject import Hand, Origin, Subject, Template
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat
from app.palm.capture import Capture


class SqlGallery:
    """A `Gallery` in a database whose tables exist."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        files: Files,
        *,
        snapshots: Engine | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Creates the gallery; `close` disposes of the engine and the vault's.

        Args:
            engine: a database with `METADATA`'s tables, which enforces foreign keys.
            vault: encrypts what is stored; its master key is in use.
            files: the database's files.
            snapshots: the same, with transactions that only read and in which all reads see one
                revision; by default the engine, if its transactions are such.
            now: returns the present time, by which retention dates pass.

        Raises:
            GalleryUnusable: if the gallery cannot be read.
        """
        self._engine = engine
        self._vault = vault
        self._transactions = Transactions(engine, snapshots or engine, vault)
        self._sight = Sight(None, now)
        self.keys = SqlKeys(engine)
        self.backups = SqlBackups(self._reading, self._writing, self.repair, vault)
        with self._reading() as connection:
            self.secrets = read_secrets(connection, vault)
        pseudonyms = Pseudonyms(self.secrets.pseudonyms)
        self._eraser = Eraser(engine, vault, files, pseudonyms)
        self.records = SqlRecords(
            self._reading, self._writing, vault, self._eraser, pseudonyms, self._sight
        )

    def repair(self) -> None:
        """Finishes at the start what a crash may have interrupted; see `Eraser.repair`.

        Raises:
            GalleryUnusable: if the gallery cannot be used.
        """
        with self._writing(purges=True) as (connection, revision):
            if not self._eraser.repair(connection, revision):
                connection.rollback()
        self._eraser.purge(is_start=True)

    def within(self, collections: Within) -> "SqlGallery":
        """See `Gallery.within`."""
        limited = copy(self)
        limited._sight = self._sight.narrowed(collections)
        limited.records = self.records.seeing(limited._sight)
        return limited

    def collections(self) -> list[CollectionSize]:
        """See `Gallery.collections`."""
        with self._reading() as connection:
            return count_by_collection(connection, self._sight.within, self._sight.condition())

    def revision(self) -> int:
        """See `Gallery.revision`."""
        return self._transactions.revision()

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """See `Gallery.seed_trained`."""
        with self._writing() as (connection, revision):
            # Else every process would look for changes.
            if not seed_trained(connection, self._vault, revision, subject_ids):
                connection.rollback()

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        templates: Mapping[MapFormat, VeinMaps],
        *,
        add: bool,
        captures: Sequence[Capture] | None = None,
        once: Once | None = None,
        collection: str | None = None,
        details: Mapping[str, FieldValue] | None = None,
        camera: str = "",
    ) -> Subject:
        """See `Gallery.enroll`."""
        given = {"name": name, "hand": hand, **(details or {})}
        changes = {field: value for field, value in given.items() if value is not None}
        check_fields(changes)
        with self._writing() as (connection, revision):
            if once is not None:
                if was_done(connection, once):
                    row = self._sight.read_row(connection, subject_id)
                    subject = read_subject(connection, self._vault, row)
                    connection.rollback()
                    return subject
                remember(connection, once)
            row = place_subject(
                connection, self._vault, revision, subject_id, collection, self._sight, add=add
            )
            key = read_key(connection, self._vault, row)
            write_fields(connection, revision, row, key, changes)
            before = read_shares(connection, subject_id, key, templates)
            insert_templates(connection, subject_id, key, templates, captures, camera=camera)
            subject = read_subject(connection, self._vault, read_row(connection, subject_id))
            if subject.origin == "enrolled":
                after = read_shares(connection, subject_id, key, templates)
                replace_shares(connection, self._vault, before, after)
            return subject

    def subject(self, subject_id: str) -> Subject:
        """See `Gallery.subject`."""
        with self._reading() as connection:
            return read_subject(
                connection, self._vault, self._sight.read_row(connection, subject_id)
            )

    def subjects(
        self,
        *,
        after: str | None,
        limit: int,
        origin: Origin | None = None,
        name: str | None = None,
    ) -> list[Subject]:
        """See `Gallery.subjects`."""
        query = select(SUBJECTS).where(self._sight.condition())
        query = query if origin is None else query.where(SUBJECTS.c.origin == origin)
        with self._reading() as connection:
            return read_page(connection, self._vault, query, after, limit, name)

    def update(
        self, subject_id: str, changes: Mapping[str, FieldValue], check: Check = accept
    ) -> Subject:
        """See `Gallery.update`."""
        check_fields(changes)
        with self._writing() as (connection, revision):
            row = self._sight.read_row(connection, subject_id)
            check(read_subject(connection, self._vault, row))
            key = read_key(connection, self._vault, row)
            write_fields(connection, revision, row, key, changes)
            return read_subject(connection, self._vault, read_row(connection, subject_id))

    def delete(self, subject_id: str, check: Check = accept) -> Erasure:
        """See `Gallery.delete`."""
        with self._writing(purges=True) as (connection, revision):
            read_row(connection, subject_id, self._sight.within)
            erasure_id = self._eraser.erase(connection, revision, subject_id, check)
        self._eraser.purge()
        return self.erasure(erasure_id)

    def erasure(self, erasure_id: str) -> Erasure:
        """See `Gallery.erasure`."""
        with self._reading() as connection:
            return read_erasure(connection, erasure_id)

    def count_erasures(self) -> ErasureCounts:
        """See `Gallery.count_erasures`."""
        with self._reading() as connection:
            return count_erasures(connection)

    def count_templates(self) -> int:
        """See `Gallery.count_templates`."""
        with self._reading() as connection:
            return connection.scalars(select(func.count()).select_from(MAPS)).one()

    def verify_erasures(self) -> list[Erasure]:
        """See `Gallery.verify_erasures`."""
        with named_failures(self._engine):
            return self._eraser.verify()

    def rotate_master_key(self, new_key: bytes) -> bool:
        """See `Gallery.rotate_master_key`."""
        with self._writing(purges=True) as (connection, _):
            encrypt_anew(connection, self._vault, new_key)
        return self._eraser.purge()

    def rotate_templates(self) -> bool:
        """See `Gallery.rotate_templates`."""
        rotate_templates(self._writing, self._vault)
        return self._eraser.purge()

    def was_enrolled(self, once: Once) -> bool:
        """See `Gallery.was_enrolled`."""
        with self._reading() as connection:
            return was_done(connection, once)

    def templates(self, subject_id: str) -> list[Template]:
        """See `Gallery.templates`."""
        with self._reading() as connection:
            self._sight.read_row(connection, subject_id)
            return read_templates(connection, subject_id)

    def remove_template(self, subject_id: str, number: int) -> Erasure:
        """See `Gallery.remove_template`."""
        with self._writing(purges=True) as (connection, revision):
            self._sight.read_row(connection, subject_id)
            erasure_id = self._eraser.erase_template(connection, revision, subject_id, number)
        self._eraser.purge()
        return self.erasure(erasure_id)

    def changes(self, after: Position, formats: Sequence[MapFormat], limit: int) -> Changes:
        """See `Gallery.changes`."""
        with self._reading() as connection:
            return read_changes(connection, self._vault, after, formats, limit, self._sight.now())

    def sums_by_camera(self, formats: Sequence[MapFormat]) -> dict[str, list[MapSum]]:
        """See `Gallery.sums_by_camera`."""
        with self._reading() as connection:
            return read_sums(connection, self._vault, formats)

    def incomparable(
        self, formats: Sequence[MapFormat], *, after: str | None, limit: int
    ) -> list[Subject]:
        """See `Gallery.incomparable`."""
        query = select(SUBJECTS).where(is_incomparable(formats), self._sight.condition())
        with self._reading() as connection:
            return read_page(connection, self._vault, query, after, limit)

    def count_incomparable(self, formats: Sequence[MapFormat]) -> int:
        """See `Gallery.count_incomparable`."""
        wanted = (is_incomparable(formats), self._sight.condition())
        query = select(func.count()).select_from(SUBJECTS).where(*wanted)
        with self._reading() as connection:
            return connection.scalars(query).one()

    def site_reports(self) -> dict[str, str]:
        """See `Gallery.site_reports`."""
        with self._reading() as connection:
            rows = connection.execute(select(SITE).order_by(SITE.c.camera)).all()
            return {row.camera: row.report for row in rows}

    def write_site_report(self, report: str, *, camera: str = "") -> None:
        """See `Gallery.write_site_report`."""
        with self._writing() as (connection, _):
            connection.execute(delete(SITE).where(SITE.c.camera == camera))
            insert_rows(connection, SITE, [{"camera": camera, "report": report}])

    def close(self) -> None:
        """See `Gallery.close`."""
        self._vault.wrapped.close()
        self._engine.dispose()

    def _reading(self) -> AbstractContextManager[Connection]:
        """Opens a transaction, in which all reads see one revision."""
        return self._transactions.reading()

    def _writing(self, *, purges: bool = False) -> AbstractContextManager[tuple[Connection, int]]:
        """Opens a writer's transaction; see `Transactions.writing`.

        Afterwards it tries again what no process could purge before, unless its caller `purges`
        anyway.
        """
        return self._transactions.writing(None if purges else self._eraser)
