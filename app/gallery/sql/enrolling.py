"""Finds or adds the row of the subject to enroll."""

from sqlalchemy import Connection, RowMapping

from app.gallery.collection import DEFAULT
from app.gallery.encryption.vault import Vault
from app.gallery.errors import CollectionDiffers
from app.gallery.sight import Sight
from app.gallery.sql.ids import is_taken, require_free, require_seen
from app.gallery.sql.seeding import insert_subjects
from app.gallery.sql.subjects import read_row


def place_subject(
    connection: Connection,
    vault: Vault,
    revision: int,
    subject_id: str,
    collection: str | None,
    sight: Sight,
    *,
    add: bool,
) -> RowMapping:
    """Adds a subject, or checks that the one of this id may get more templates.

    Args:
        connection: a writer's transaction.
        vault: the gallery's vault.
        revision: the transaction's.
        subject_id: the subject.
        collection: its collection; None for `DEFAULT`, or for that of the known subject.
        sight: what the caller sees.
        add: whether the subject may be known.

    Returns:
        Its row of `SUBJECTS`.

    Raises:
        SubjectExists, SubjectAlike: if `add` is false; see `require_free`.
        SubjectTaken: if the id is a subject's whom the caller may not see.
        SubjectExpired: if the retention date of the known subject has passed.
        CollectionDiffers: if the known subject is in another collection than `collection`.
    """
    if not (add and is_taken(connection, subject_id)):
        require_free(connection, subject_id, sight)
        within = collection or DEFAULT
        insert_subjects(connection, vault, revision, [subject_id], "enrolled", collection=within)
        return read_row(connection, subject_id)
    row = read_row(connection, subject_id)
    require_seen(row, subject_id, sight)
    if collection not in (None, row["collection"]):
        raise CollectionDiffers(subject_id, row["collection"])
    return row
