"""Reads subjects from the database."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from unicodedata import normalize

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    exists,
    false,
    func,
    or_,
    select,
)

from app.gallery.errors import SubjectUnknown
from app.gallery.schema import MAPS, SUBJECTS
from app.gallery.subject import Subject
from app.matching.templates import MapFormat
from app.palm.capture import Capture

_IDS_PER_QUERY = 500  # databases bound the values of one statement


def read_subject(connection: Connection, subject_id: str) -> Subject:
    """Reads one subject.

    Raises:
        SubjectUnknown: if there is no subject of that id.
    """
    query = select(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id)
    # PostgreSQL would refuse to compare text with a NUL.
    found = [] if "\0" in subject_id else read_subjects(connection, query)
    if not found:
        raise SubjectUnknown(subject_id)
    return found[0]


def read_subjects(connection: Connection, query: Select[Any]) -> list[Subject]:
    """Reads the subjects that a query of `SUBJECTS` selects."""
    return as_subjects(connection, connection.execute(query).mappings().all())


def as_subjects(connection: Connection, rows: Sequence[RowMapping]) -> list[Subject]:
    """Reads the template counts of the subjects in some rows of `SUBJECTS`."""
    ids = [row["subject_id"] for row in rows]
    counts, captures = _template_counts(connection, ids), _captures(connection, ids)
    return [_subject(row, counts[row["subject_id"]], captures[row["subject_id"]]) for row in rows]


def read_page(
    connection: Connection,
    query: Select[Any],
    after: str | None,
    limit: int,
    name: str | None = None,
) -> list[Subject]:
    """Reads the first subjects that a query selects, in the order of their ids; see `Gallery`."""
    query = query.order_by(SUBJECTS.c.subject_id)
    if after is not None:
        # PostgreSQL would refuse a NUL. No id has one: the same ids come after what precedes it.
        query = query.where(SUBJECTS.c.subject_id > after.partition("\0")[0])
    if name is None:
        return read_subjects(connection, query.limit(limit))
    # Not by the database: SQLite knows the capitals of the English alphabet only.
    wanted = normalize("NFC", name).casefold()
    rows = connection.execute(query.where(SUBJECTS.c.name.is_not(None))).mappings()
    found = (row for row in rows if wanted in row["name"].casefold())
    return as_subjects(connection, list(islice(found, limit)))


def is_incomparable(formats: Sequence[MapFormat]) -> ColumnElement[bool]:
    """Returns the condition that an enrolled subject has no map of at least one format."""
    lacking = [
        ~exists().where(
            MAPS.c.subject_id == SUBJECTS.c.subject_id,
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
        for of in formats
    ]
    return and_(SUBJECTS.c.origin == "enrolled", or_(false(), *lacking))


def _template_counts(
    connection: Connection, subject_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Returns the number of maps of each format, for each subject."""
    columns = (MAPS.c.subject_id, MAPS.c.net, MAPS.c.template_id)
    counts: dict[str, dict[str, int]] = {subject_id: {} for subject_id in subject_ids}
    for some in _batches(subject_ids):
        query = (
            select(*columns, func.count().label("templates"))
            .where(MAPS.c.subject_id.in_(some))
            .group_by(*columns)
        )
        for row in connection.execute(query):
            counts[row.subject_id][f"{row.net}:{row.template_id}"] = row.templates
    return counts


def _captures(connection: Connection, subject_ids: Sequence[str]) -> dict[str, list[Capture]]:
    """Returns how the maps of each subject were captured, as far as that is known."""
    columns = (MAPS.c.subject_id, MAPS.c.capture)
    captures: dict[str, list[Capture]] = {subject_id: [] for subject_id in subject_ids}
    for some in _batches(subject_ids):
        query = (
            select(*columns)
            .where(MAPS.c.subject_id.in_(some), MAPS.c.capture.is_not(None))
            .distinct()
            .order_by(*columns)
        )
        for row in connection.execute(query):
            captures[row.subject_id].append(row.capture)
    return captures


def _batches(subject_ids: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(subject_ids)
    while some := list(islice(remaining, _IDS_PER_QUERY)):
        yield some


def _subject(row: RowMapping, template_counts: dict[str, int], captures: list[Capture]) -> Subject:
    return Subject(
        subject_id=row["subject_id"],
        name=row["name"],
        hand=row["hand"],
        origin=row["origin"],
        created_at=datetime.fromisoformat(row["created_at"]),
        template_counts=template_counts,
        captures=captures,
    )
