"""The gallery in any SQL database; what one database needs is in its own module."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from app.gallery.changes import read_changes
from app.gallery.errors import SubjectAlike, SubjectExists
from app.gallery.failures import named_failures
from app.gallery.gallery import Changes, Check, Once, Position, accept
from app.gallery.keys import SqlKeys
from app.gallery.numbers import take_numbers
from app.gallery.requests import remember, was_done
from app.gallery.schema import ERASED, GALLERY, MAPS, REMOVED, SITE, SUBJECTS
from app.gallery.subject import Hand, Origin, Subject, Template
from app.gallery.subjects import is_incomparable, read_page, read_subject
from app.gallery.sums import read_shares, read_sum, replace_shares, summed_formats
from app.gallery.templates import insert_templates, read_templates, remove_template
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat
from app.palm.capture import Capture


class SqlGallery:
    """A `Gallery` in a database whose tables exist."""

    def __init__(
        self, engine: Engine, *, purge: Callable[[], None], snapshots: Engine | None = None
    ) -> None:
        """Creates the gallery; `close` disposes of the engine.

        Args:
            engine: a database with `METADATA`'s tables, which enforces foreign keys.
            snapshots: the same, with transactions that only read and in which all reads see one
                revision; by default the engine, if its transactions are such.
            purge: called after each committed erasure; removes what is left of deleted rows.
        """
        self._engine = engine
        self._snapshots = snapshots or engine
        self._purge = purge
        self.keys = SqlKeys(engine)

    def revision(self) -> int:
        """See `Gallery.revision`."""
        with self._reading() as connection:
            return connection.scalars(select(GALLERY.c.revision)).one()

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """See `Gallery.seed_trained`."""
        query = select(SUBJECTS.c.subject_id, SUBJECTS.c.origin)
        with self._writing() as (connection, revision):
            erased = set(connection.scalars(select(ERASED.c.subject_id)))
            origins = {row.subject_id: row.origin for row in connection.execute(query)}
            wanted = set(subject_ids) - erased
            missing = wanted - origins.keys()
            taken = {subject_id for subject_id in wanted if origins.get(subject_id) == "enrolled"}
            unknown = _remove_unused(connection, revision, wanted)
            _insert_subjects(connection, revision, sorted(missing), "trained")
            _insert(connection, ERASED, [{"subject_id": subject_id} for subject_id in taken])
            if not (missing or taken or unknown):  # else every process would look for changes
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
    ) -> Subject:
        """See `Gallery.enroll`."""
        given = {"name": name, "hand": hand}
        with self._writing() as (connection, revision):
            if once is not None:
                if was_done(connection, once):
                    subject = read_subject(connection, subject_id)
                    connection.rollback()
                    return subject
                remember(connection, once)
            if not _exists(connection, subject_id):
                if (known := _find_alike(connection, subject_id)) is not None:
                    raise SubjectAlike(subject_id, known)
                _insert_subjects(connection, revision, [subject_id], "enrolled")
            elif not add:
                raise SubjectExists(subject_id)
            changes = {key: value for key, value in given.items() if value is not None}
            _change(connection, revision, subject_id, changes)
            before = read_shares(connection, subject_id, templates)
            insert_templates(connection, subject_id, templates, captures)
            subject = read_subject(connection, subject_id)
            if subject.origin == "enrolled":
                after = read_shares(connection, subject_id, templates)
                replace_shares(connection, before, after)
            return subject

    def subject(self, subject_id: str) -> Subject:
        """See `Gallery.subject`."""
        with self._reading() as connection:
            return read_subject(connection, subject_id)

    def subjects(
        self,
        *,
        after: str | None,
        limit: int,
        origin: Origin | None = None,
        name: str | None = None,
    ) -> list[Subject]:
        """See `Gallery.subjects`."""
        query = select(SUBJECTS)
        query = query if origin is None else query.where(SUBJECTS.c.origin == origin)
        with self._reading() as connection:
            return read_page(connection, query, after, limit, name)

    def update(
        self, subject_id: str, changes: Mapping[str, str | None], check: Check = accept
    ) -> Subject:
        """See `Gallery.update`."""
        if unknown := changes.keys() - {"name", "hand"}:
            raise ValueError(f"only name and hand can be changed, not {sorted(unknown)}")
        with self._writing() as (connection, revision):
            check(read_subject(connection, subject_id))
            _change(connection, revision, subject_id, changes)
            return read_subject(connection, subject_id)

    def delete(self, subject_id: str, check: Check = accept) -> None:
        """See `Gallery.delete`."""
        row = SUBJECTS.c.subject_id == subject_id
        with self._writing() as (connection, revision):
            subject = read_subject(connection, subject_id)
            check(subject)
            number = connection.scalars(select(SUBJECTS.c.number).where(row)).one()
            formats = summed_formats(connection) if subject.origin == "enrolled" else []
            before = read_shares(connection, subject_id, formats)
            connection.execute(delete(SUBJECTS).where(row))
            _insert(connection, REMOVED, [{"number": number, "revision": revision}])
            replace_shares(connection, before, read_shares(connection, subject_id, formats))
            if subject.origin == "trained":
                _insert(connection, ERASED, [{"subject_id": subject_id}])
        self._purge()

    def was_enrolled(self, once: Once) -> bool:
        """See `Gallery.was_enrolled`."""
        with self._reading() as connection:
            return was_done(connection, once)

    def templates(self, subject_id: str) -> list[Template]:
        """See `Gallery.templates`."""
        with self._reading() as connection:
            return read_templates(connection, subject_id)

    def remove_template(self, subject_id: str, number: int) -> Subject:
        """See `Gallery.remove_template`."""
        with self._writing() as (connection, revision):
            remove_template(connection, revision, subject_id, number)
            subject = read_subject(connection, subject_id)
        self._purge()
        return subject

    def changes(self, after: Position, formats: Sequence[MapFormat], limit: int) -> Changes:
        """See `Gallery.changes`."""
        with self._reading() as connection:
            return read_changes(connection, after, formats, limit)

    def map_sums(self, formats: Sequence[MapFormat]) -> list[MapSum]:
        """See `Gallery.map_sums`."""
        with self._reading() as connection:
            return [read_sum(connection, one) for one in formats]

    def incomparable(
        self, formats: Sequence[MapFormat], *, after: str | None, limit: int
    ) -> list[Subject]:
        """See `Gallery.incomparable`."""
        query = select(SUBJECTS).where(is_incomparable(formats))
        with self._reading() as connection:
            return read_page(connection, query, after, limit)

    def count_incomparable(self, formats: Sequence[MapFormat]) -> int:
        """See `Gallery.count_incomparable`."""
        query = select(func.count()).select_from(SUBJECTS).where(is_incomparable(formats))
        with self._reading() as connection:
            return connection.scalars(query).one()

    def site_report(self) -> str | None:
        """See `Gallery.site_report`."""
        with self._reading() as connection:
            return connection.scalars(select(SITE.c.report)).one_or_none()

    def write_site_report(self, report: str) -> None:
        """See `Gallery.write_site_report`."""
        with self._writing() as (connection, _):
            connection.execute(delete(SITE))
            _insert(connection, SITE, [{"report": report}])

    def close(self) -> None:
        """See `Gallery.close`."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        """Opens a transaction, in which all reads see one revision."""
        with named_failures(self._engine), self._snapshots.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Generator[tuple[Connection, int]]:
        """Opens a transaction, increments the revision and returns both.

        Writers wait for each other at this first statement. So what a writer reads afterwards
        cannot change before it writes.
        """
        with named_failures(self._engine), self._engine.begin() as connection:
            connection.execute(update(GALLERY).values(revision=GALLERY.c.revision + 1))
            yield connection, connection.scalars(select(GALLERY.c.revision)).one()


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _find_alike(connection: Connection, subject_id: str) -> str | None:
    """Returns a subject's id that differs only in capital and small letters."""
    alike = func.lower(SUBJECTS.c.subject_id) == subject_id.lower()
    return connection.scalars(select(SUBJECTS.c.subject_id).where(alike)).first()


def _exists(connection: Connection, subject_id: str) -> bool:
    query = select(SUBJECTS.c.subject_id).where(SUBJECTS.c.subject_id == subject_id)
    return connection.execute(query).first() is not None


def _insert_subjects(
    connection: Connection, revision: int, subject_ids: Sequence[str], origin: Origin
) -> None:
    """Adds subjects without a name, hand or templates, and numbers them."""
    first = take_numbers(connection, len(subject_ids))
    now = datetime.now(UTC).isoformat()
    rows = [
        {
            "subject_id": subject_id,
            "origin": origin,
            "created_at": now,
            "number": number,
            "changed": revision,
        }
        for number, subject_id in enumerate(subject_ids, start=first)
    ]
    _insert(connection, SUBJECTS, rows)


def _change(
    connection: Connection, revision: int, subject_id: str, changes: Mapping[str, str | None]
) -> None:
    row = SUBJECTS.c.subject_id == subject_id
    connection.execute(update(SUBJECTS).where(row).values(changed=revision, **changes))


def _remove_unused(connection: Connection, revision: int, wanted: Collection[str]) -> int:
    """Removes trained identities that are not wanted and that nobody changed or added to.

    They are not erased: they come back with nets that know them.
    """
    query = select(SUBJECTS.c.subject_id, SUBJECTS.c.number).where(
        SUBJECTS.c.origin == "trained",
        SUBJECTS.c.name.is_(None),
        SUBJECTS.c.hand.is_(None),
        ~exists().where(MAPS.c.subject_id == SUBJECTS.c.subject_id),
    )
    unused = [row for row in connection.execute(query) if row.subject_id not in wanted]
    for row in unused:
        connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject_id == row.subject_id))
    _insert(connection, REMOVED, [{"number": row.number, "revision": revision} for row in unused])
    return len(unused)
