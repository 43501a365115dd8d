"""The receipts of erasures in the database, and what a purge must still remove."""

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from app.gallery.encryption.cipher import NONCE_BYTES
from app.gallery.encryption.wrapped import WrappedKeys
from app.gallery.erasure import Erased, Erasure, ErasureCounts, Found
from app.gallery.errors import ErasureUnknown
from app.gallery.sql.schema import ERASURES, GALLERY, SUBJECTS

KEYS_LEFT = "keys"
"""Keys under a former master key, or a former template key, may still be in the files."""

PLAIN_LEFT = "plain"
"""Besides, rows that a former release did not encrypt may still be in them; no change removes them,
because that takes time in proportion to the gallery."""


def record_erasure(
    connection: Connection,
    wrapped: WrappedKeys,
    erased: Erased,
    pseudonym: str,
    revision: int,
    number: int,
) -> str:
    """Records an erasure as pending, within its transaction; returns its id.

    Args:
        connection: the transaction.
        wrapped: the subjects' keys, of which `purge` removes the subject's afterwards.
        erased: what is erased.
        pseudonym: stands for the subject's id.
        revision: the transaction's.
        number: the subject's number, which no subject has afterwards.
    """
    key = wrapped.read(connection, [number]).get(number, b"")
    erasure_id = secrets.token_hex(16)
    row = {
        "erasure_id": erasure_id,
        "pseudonym": pseudonym,
        "erased": erased,
        "erased_at": datetime.now(UTC).isoformat(),
        "revision": revision,
        "number": number,
        "mark": key[:NONCE_BYTES].hex(),
        "database": "pending",
        "log": "pending",
    }
    connection.execute(insert(ERASURES), row)
    return erasure_id


def read_erasure(connection: Connection, erasure_id: str) -> Erasure:
    """Reads one receipt.

    Raises:
        ErasureUnknown: if there is none of that id.
    """
    query = select(ERASURES).where(ERASURES.c.erasure_id == erasure_id.partition("\0")[0])
    row = connection.execute(query).mappings().first()
    if row is None:
        raise ErasureUnknown(erasure_id)
    return _erasure(row)


def read_erasures_of(
    connection: Connection, pseudonym: str, since: datetime, renames: Sequence[str]
) -> list[Erasure]:
    """Reads the receipts of a subject's templates and former ids, the oldest first.

    Other subjects may have had its ids before or after it, and have the same pseudonyms.

    Args:
        connection: the transaction.
        pseudonym: stands for its present id.
        since: when it was enrolled.
        renames: the ids of the receipts of its former ids.
    """
    query = select(ERASURES).where(ERASURES.c.erasure_id.in_(renames))
    had, begun = list[ColumnElement[bool]](), 0
    for one in connection.execute(query.order_by(ERASURES.c.revision)).all():
        until = ERASURES.c.revision <= one.revision
        had.append(and_(ERASURES.c.pseudonym == one.pseudonym, ERASURES.c.revision > begun, until))
        begun = one.revision
    had.append(and_(ERASURES.c.pseudonym == pseudonym, ERASURES.c.revision > begun))
    query = select(ERASURES).where(or_(*had), ERASURES.c.erased.in_(("template", "id")))
    rows = connection.execute(query.order_by(ERASURES.c.revision)).mappings()
    return [one for one in map(_erasure, rows) if one.erased_at >= since]


def pending_marks(connection: Connection) -> set[str]:
    """Returns the marks of erased subjects' keys that may still be there."""
    query = select(ERASURES.c.mark).where(ERASURES.c.database == "pending", ERASURES.c.mark != "")
    return set(connection.scalars(query))


def count_erasures(connection: Connection) -> ErasureCounts:
    """Counts all receipts, and those of which a medium is pending."""
    is_done = and_(ERASURES.c.database == "done", ERASURES.c.log == "done")
    query = select(func.count(), func.count().filter(is_done)).select_from(ERASURES)
    total, done = connection.execute(query).one()
    return ErasureCounts(total, total - done)


def pending_numbers(connection: Connection) -> list[int]:
    """Returns the numbers of erased subjects whose keys may still be there."""
    query = select(ERASURES.c.number).where(ERASURES.c.database == "pending")
    return list(connection.scalars(query))


def is_pending(connection: Connection, *, log: bool) -> bool:
    """Tells whether a purge could remove anything; cheap, because every change asks.

    Args:
        connection: the transaction.
        log: whether a purge empties the write-ahead log.
    """
    pending = ERASURES.c.database == "pending"
    if log:  # told so that the index finds it
        in_log = and_(ERASURES.c.database == "done", ERASURES.c.log == "pending")
        pending = or_(pending, in_log)
    query = select(exists().where(pending), GALLERY.c.leftover)
    found, left = connection.execute(query).one()
    return found or left is not None


def set_done(connection: Connection, medium: Literal["database", "log"], revision: int) -> None:
    """Records that a medium holds nothing of what was erased up to a revision."""
    column = ERASURES.c[medium]
    own = (column == "pending", ERASURES.c.revision <= revision)
    connection.execute(update(ERASURES).where(*own).values({medium: "done"}))


def leave(connection: Connection, left: str) -> None:
    """Records what a purge must still remove from the files, besides keys of erased subjects."""
    query = update(GALLERY)
    if left == KEYS_LEFT:  # which PLAIN_LEFT includes
        query = query.where(GALLERY.c.leftover.is_(None))
    connection.execute(query.values(leftover=left))


def leave_nothing(connection: Connection, revision: int) -> None:
    """Records that a purge has removed everything, unless the gallery has changed meanwhile."""
    own = GALLERY.c.revision == revision
    connection.execute(update(GALLERY).where(own).values(leftover=None))


def judge(
    connection: Connection,
    wrapped: WrappedKeys,
    rows: Sequence[RowMapping],
    found: Found,
    marks_of: Callable[[RowMapping], set[str]],
) -> list[Erasure]:
    """Records for each erasure whether anything of it was found, and returns the receipts.

    Args:
        connection: the transaction.
        wrapped: the subjects' keys.
        rows: the receipts' rows.
        found: what the search found.
        marks_of: returns the marks of a receipt's erasure.
    """
    left = set(connection.scalars(select(SUBJECTS.c.number))) | wrapped.numbers(connection)
    judged: list[Erasure] = []
    for row in rows:
        former = row["database"] == "pending"
        in_files = former if found.database is None else bool(marks_of(row) & found.database)
        in_log = row["log"] == "pending" and not found.proves_log
        states: dict[str, Any] = {
            "database": "pending" if in_files or row["number"] in left else "done",
            "log": "pending" if in_log or marks_of(row) & found.log else "done",
        }
        own = ERASURES.c.erasure_id == row["erasure_id"]
        if any(row[medium] != state for medium, state in states.items()):
            connection.execute(update(ERASURES).where(own).values(states))
        judged.append(_erasure(row).model_copy(update=states))
    return judged


def read_rows(connection: Connection) -> Sequence[RowMapping]:
    """Reads all receipts, the oldest first."""
    query = select(ERASURES).order_by(ERASURES.c.revision, ERASURES.c.erasure_id)
    return connection.execute(query).mappings().all()


def _erasure(row: RowMapping) -> Erasure:
    return Erasure(
        erasure_id=row["erasure_id"],
        pseudonym=row["pseudonym"],
        erased=row["erased"],
        erased_at=datetime.fromisoformat(row["erased_at"]),
        database=row["database"],
        log=row["log"],
    )
