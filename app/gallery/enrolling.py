"""Finds or adds the row of the subject to enroll."""

from sqlalchemy import ColumnElement, Connection, Row, func, select

from app.gallery.collection import DEFAULT, Within
from app.gallery.errors import CollectionDiffers, SubjectAlike, SubjectExists, SubjectTaken
from app.gallery.schema import SUBJECTS
from app.gallery.seeding import insert_subjects
from app.gallery.vault import Vault


def place_subject(
    connection: Connection,
    vault: Vault,
    revision: int,
    subject_id: str,
    collection: str | None,
    within: Within,
    *,
    add: bool,
) -> None:
    """Adds a subject, or checks that the one of this id may get more templates.

    Args:
        connection: a writer's transaction.
        vault: the gallery's vault.
        revision: the transaction's.
        subject_id: the subject.
        collection: its collection; None for `DEFAULT`, or for that of the known subject.
        within: collections that the caller may see; None for all.
        add: whether the subject may be known.

    Raises:
        SubjectTaken: if the id, or one like it, is a subject's whom the caller may not see.
        SubjectAlike: if another subject's id differs only in capital and small letters.
        SubjectExists: if the subject is known and `add` is false.
        CollectionDiffers: if the known subject is in another collection than `collection`.
    """
    known = _find(connection, SUBJECTS.c.subject_id == subject_id) or _find(
        connection, func.lower(SUBJECTS.c.subject_id) == subject_id.lower()
    )
    if known is None:
        new = [subject_id]
        insert_subjects(
            connection, vault, revision, new, "enrolled", collection=collection or DEFAULT
        )
        return
    if within is not None and known.collection not in within:
        raise SubjectTaken(subject_id)
    if known.subject_id != subject_id:
        raise SubjectAlike(subject_id, known.subject_id)
    if not add:
        raise SubjectExists(subject_id)
    if collection not in (None, known.collection):
        raise CollectionDiffers(subject_id, known.collection)


def _find(connection: Connection, own: ColumnElement[bool]) -> Row[str, str] | None:
    """Returns the id and the collection of a subject."""
    return connection.execute(
        select(SUBJECTS.c.subject_id, SUBJECTS.c.collection).where(own)
    ).first()
