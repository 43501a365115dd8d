"""Makes the trained subjects those that the nets know; adds and removes rows of subjects."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, insert, select

from app.gallery.collection import DEFAULT
from app.gallery.encryption.vault import Vault
from app.gallery.sql.numbers import take_numbers
from app.gallery.sql.schema import ERASED, MAPS, REMOVED, SUBJECTS
from app.gallery.subject import Origin


def seed_trained(
    connection: Connection, vault: Vault, revision: int, subject_ids: Sequence[str]
) -> bool:
    """Does what `Gallery.seed_trained` tells; returns whether anything changed."""
    query = select(SUBJECTS.c.subject_id, SUBJECTS.c.origin)
    erased = set(connection.scalars(select(ERASED.c.subject_id)))
    origins = {row.subject_id: row.origin for row in connection.execute(query)}
    wanted = set(subject_ids) - erased
    missing = wanted - origins.keys()
    taken = {subject_id for subject_id in wanted if origins.get(subject_id) == "enrolled"}
    unknown = _remove_unused(connection, revision, wanted)
    insert_subjects(connection, vault, revision, sorted(missing), "trained")
    insert_rows(connection, ERASED, [{"subject_id": subject_id} for subject_id in taken])
    return bool(missing or taken or unknown)


def insert_subjects(
    connection: Connection,
    vault: Vault,
    revision: int,
    subject_ids: Sequence[str],
    origin: Origin,
    *,
    collection: str = DEFAULT,
) -> None:
    """Adds subjects without a name, hand or templates, and gives each a number and a key."""
    first = take_numbers(connection, len(subject_ids))
    now = datetime.now(UTC).isoformat()
    rows: list[dict[str, Any]] = [
        {
            "subject_id": subject_id,
            "origin": origin,
            "created_at": now,
            "number": number,
            "changed": revision,
            "collection": collection,
        }
        for number, subject_id in enumerate(subject_ids, start=first)
    ]
    insert_rows(connection, SUBJECTS, rows)
    vault.create_keys(connection, {row["number"]: row["subject_id"] for row in rows})


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Inserts rows, or none."""
    if rows:
        connection.execute(insert(table), rows)


def is_unused() -> ColumnElement[bool]:
    """Returns the condition that a trained identity was never changed or added to."""
    return and_(
        SUBJECTS.c.origin == "trained",
        SUBJECTS.c.name.is_(None),
        SUBJECTS.c.hand.is_(None),
        SUBJECTS.c.collection == DEFAULT,
        SUBJECTS.c.details.is_(None),
        ~exists().where(MAPS.c.subject_id == SUBJECTS.c.subject_id),
    )


def _remove_unused(connection: Connection, revision: int, wanted: Collection[str]) -> int:
    """Removes trained identities that are not wanted and that nobody changed or added to.

    They are not erased: they come back with nets that know them. The next start removes their
    keys, which encrypt nothing.
    """
    query = select(SUBJECTS.c.subject_id, SUBJECTS.c.number).where(is_unused())
    unused = [row for row in connection.execute(query) if row.subject_id not in wanted]
    for row in unused:
        connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject_id == row.subject_id))
    insert_rows(
        connection, REMOVED, [{"number": row.number, "revision": revision} for row in unused]
    )
    return len(unused)
