"""Reads subjects from the database."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast
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

from app.gallery.collection import Within
from app.gallery.encryption.vault import SubjectKey, Vault
from app.gallery.errors import SubjectUnknown
from app.gallery.sql.batches import batches
from app.gallery.sql.schema import MAPS, SUBJECTS
from app.gallery.subject import Subject
from app.matching.templates import MapFormat
from app.palm.capture import Capture


def read_row(connection: Connection, subject_id: str, within: Within = None) -> RowMapping:
    """Reads the row of one subject, with its name encrypted.

    Raises:
        SubjectUnknown: if there is no subject of that id, or it is in none of the collections.
    """
    query = select(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id)
    # PostgreSQL would refuse to compare text with a NUL.
    row = None if "\0" in subject_id else connection.execute(query).mappings().first()
    if row is None or not (within is None or row["collection"] in within):
        raise SubjectUnknown(subject_id)
    return row


def read_key(connection: Connection, vault: Vault, row: RowMapping) -> SubjectKey:
    """Reads the key of the subject in a row of `SUBJECTS`; a damaged one if it has none."""
    number, subject_id = row["number"], row["subject_id"]
    keys = vault.keys_of(connection, {number: subject_id})
    return keys.get(number) or SubjectKey(subject_id, None, vault.template_keys(connection))


def read_subject(connection: Connection, vault: Vault, row: RowMapping) -> Subject:
    """Reads the subject in a row of `SUBJECTS`.

    Raises:
        SubjectUnknown: if it is erased meanwhile.
        GalleryUnusable: if its name or details are damaged.
    """
    found = _read_subjects(connection, vault, [row])
    if not found:
        raise SubjectUnknown(row["subject_id"])
    return found[0]


def _read_subjects(
    connection: Connection, vault: Vault, rows: Sequence[RowMapping]
) -> list[Subject]:
    """Reads the subjects in some rows, except those that are erased meanwhile."""
    encrypted = {row["number"]: row["subject_id"] for row in rows if _has_texts(row)}
    keys = vault.keys_of(connection, encrypted)
    kept = [row for row in rows if not _has_texts(row) or row["number"] in keys]
    return as_subjects(connection, kept, keys)


def read_nameless(connection: Connection, row: RowMapping) -> Subject:
    """Reads the subject in a row of `SUBJECTS` without its name and details.

    Those may be damaged.
    """
    return as_subjects(connection, [{**row, "name": None, "details": None}], {})[0]


def as_subjects(
    connection: Connection, rows: Sequence[Mapping[Any, Any]], keys: Mapping[int, SubjectKey]
) -> list[Subject]:
    """Decrypts the texts in some rows of `SUBJECTS`, and counts the subjects' templates.

    Args:
        connection: the transaction.
        rows: the rows.
        keys: by number the keys of those who have a name or details, at least.

    Raises:
        GalleryUnusable: if a name or details are damaged.
    """
    ids = [row["subject_id"] for row in rows]
    counts, captures = _template_counts(connection, ids), _captures(connection, ids)
    return [
        _subject(row, keys, counts[row["subject_id"]], captures[row["subject_id"]]) for row in rows
    ]


def read_page(
    connection: Connection,
    vault: Vault,
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
        rows = connection.execute(query.limit(limit)).mappings().all()
        return _read_subjects(connection, vault, rows)
    wanted = normalize("NFC", name).casefold()
    rows = connection.execute(query.where(SUBJECTS.c.name.is_not(None))).mappings().all()
    found: list[RowMapping] = []
    for some in batches(rows):
        keys = vault.keys_of(connection, {row["number"]: row["subject_id"] for row in some})
        named = ((row, _name(row, keys)) for row in some if row["number"] in keys)
        found += [row for row, known in named if known and wanted in known.casefold()]
        if len(found) >= limit:
            break
    return _read_subjects(connection, vault, found[:limit])


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
    for some in batches(subject_ids):
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
    for some in batches(subject_ids):
        query = (
            select(*columns)
            .where(MAPS.c.subject_id.in_(some), MAPS.c.capture.is_not(None))
            .distinct()
            .order_by(*columns)
        )
        for row in connection.execute(query):
            captures[row.subject_id].append(row.capture)
    return captures


def read_details(stored: str | None, key: SubjectKey) -> dict[str, Any]:
    """Returns the fields of stored details; those that have no value are left out.

    Raises:
        GalleryUnusable: if they are damaged.
    """
    return {} if stored is None else cast(dict[str, Any], json.loads(key.decrypt_details(stored)))


def _has_texts(row: Mapping[Any, Any]) -> bool:
    """Tells whether a row of `SUBJECTS` holds what the subject's key encrypts."""
    return row["name"] is not None or row["details"] is not None


def _name(row: Mapping[Any, Any], keys: Mapping[int, SubjectKey]) -> str | None:
    """Returns the name in a row of `SUBJECTS`."""
    return None if row["name"] is None else keys[row["number"]].decrypt_name(row["name"])


def _subject(
    row: Mapping[Any, Any],
    keys: Mapping[int, SubjectKey],
    template_counts: dict[str, int],
    captures: list[Capture],
) -> Subject:
    stored, until = row["details"], row["retain_until"]
    details = {} if stored is None else read_details(stored, keys[row["number"]])
    return Subject(
        subject_id=row["subject_id"],
        name=_name(row, keys),
        hand=row["hand"],
        origin=row["origin"],
        collection=row["collection"],
        created_at=datetime.fromisoformat(row["created_at"]),
        template_counts=template_counts,
        captures=captures,
        metadata=details.get("metadata", {}),
        consent=details.get("consent"),
        retain_until=until and datetime.fromisoformat(until),
    )
