"""Reads subjects from the database."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from app.gallery.gallery import Subject, SubjectUnknown
from app.gallery.schema import MAPS, SUBJECTS
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
