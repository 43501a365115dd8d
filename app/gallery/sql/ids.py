"""Ids of subjects: which are taken."""

from sqlalchemy import Connection, RowMapping, func, select

from app.gallery.errors import IdTaken, SubjectAlike, SubjectExists, SubjectExpired, SubjectTaken
from app.gallery.retention import has_expired
from app.gallery.sight import Sight
from app.gallery.sql.schema import SUBJECTS
from app.gallery.sql.subjects import read_row


def is_taken(connection: Connection, subject_id: str) -> bool:
    """Tells whether there is a subject of an id, also one whose retention date has passed."""
    query = select(SUBJECTS.c.subject_id).where(SUBJECTS.c.subject_id == subject_id)
    return connection.execute(query).first() is not None


def require_free(
    connection: Connection, subject_id: str, sight: Sight, besides: str | None = None
) -> None:
    """Checks that a new subject may have an id.

    Args:
        connection: the transaction.
        subject_id: the id.
        sight: what the caller sees.
        besides: the subject that is to get the id, and gives its own up, which may be alike.

    Raises:
        SubjectTaken: if the id, or one like it, is that of a subject of another collection than the
            caller sees.
        SubjectExpired: if it, or one like it, is that of a subject whose retention date has passed.
        SubjectExists: if it is that of another subject; `IdTaken` if a subject is to get it.
        SubjectAlike: if it differs from another subject's only in capital and small letters.
    """
    if is_taken(connection, subject_id):
        require_seen(read_row(connection, subject_id), subject_id, sight)
        raise SubjectExists(subject_id) if besides is None else IdTaken(subject_id)
    alike = func.lower(SUBJECTS.c.subject_id) == subject_id.lower()
    query = select(SUBJECTS).where(alike, SUBJECTS.c.subject_id != (besides or ""))
    if (known := connection.execute(query).mappings().first()) is not None:
        require_seen(known, subject_id, sight)
        raise SubjectAlike(subject_id, known["subject_id"])


def require_seen(row: RowMapping, subject_id: str, sight: Sight) -> None:
    """Refuses an id because of a subject's row, if the caller does not see that subject."""
    if not sight.covers(row):
        raise SubjectTaken(subject_id)
    if has_expired(row, sight.now()):
        raise SubjectExpired(subject_id)
