"""The fields of a subject that callers set; name and details are encrypted."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, update

from app.gallery.encryption.vault import SubjectKey
from app.gallery.errors import TrainedFixed
from app.gallery.retention import as_stored
from app.gallery.sql.records import FieldValue
from app.gallery.sql.schema import SUBJECTS
from app.gallery.sql.subjects import read_details

DETAILS = ("metadata", "consent")
"""Fields that are stored together, as JSON."""
RENAMES = "renames"
"""Stored with them: ids of the receipts of former ids, which nobody sets."""
FIELDS = frozenset({"name", "hand", "collection", "retain_until", *DETAILS})


def check_fields(changes: Mapping[str, FieldValue]) -> None:
    """Refuses what cannot be set.

    Raises:
        ValueError: if it is no field, or a time has no time zone.
    """
    if unknown := changes.keys() - FIELDS:
        known = ", ".join(sorted(FIELDS))
        raise ValueError(f"only {known} can be changed, not {sorted(unknown)}")
    until = changes.get("retain_until")
    if isinstance(until, datetime) and until.tzinfo is None:
        raise ValueError(f"retain_until {until.isoformat()} has no time zone: give one")


def write_fields(
    connection: Connection,
    revision: int,
    row: RowMapping,
    key: SubjectKey,
    changes: Mapping[str, FieldValue],
) -> None:
    """Sets fields of a subject; None clears one.

    Args:
        connection: a writer's transaction.
        revision: the transaction's.
        row: the subject's row of `SUBJECTS`.
        key: its key.
        changes: see `check_fields`.

    Raises:
        TrainedFixed: if a trained identity is to get a retention date.
        GalleryUnusable: if its details are damaged, of which only some change.
    """
    stored: dict[str, Any] = {one: changes[one] for one in changes if one not in DETAILS}
    if (name := stored.get("name")) is not None:
        stored["name"] = key.encrypt_name(name)
    if (until := stored.get("retain_until")) is not None:
        if row["origin"] == "trained":
            raise TrainedFixed(row["subject_id"], "get a retention date")
        stored["retain_until"] = as_stored(until)
    if changed := {one: changes[one] for one in DETAILS if one in changes}:
        kept = {**read_details(row["details"], key), **changed}
        told = {one: value for one, value in kept.items() if value}
        stored["details"] = key.encrypt_details(json.dumps(told)) if told else None
    own = SUBJECTS.c.number == row["number"]
    connection.execute(update(SUBJECTS).where(own).values(changed=revision, **stored))


def note_rename(row: RowMapping, key: SubjectKey, erasure_id: str) -> str:
    """Returns a subject's details, encrypted, with the receipt of an id that it has no more.

    Raises:
        GalleryUnusable: if its details are damaged.
    """
    details = read_details(row["details"], key)
    renames = [*details.get(RENAMES, []), erasure_id]
    return key.encrypt_details(json.dumps({**details, RENAMES: renames}))


def read_renames(row: RowMapping, key: SubjectKey) -> list[str]:
    """Returns the ids of the receipts of a subject's former ids.

    Raises:
        GalleryUnusable: if its details are damaged.
    """
    return read_details(row["details"], key).get(RENAMES, [])


def encrypt_texts(
    row: Mapping[Any, Any], key: SubjectKey, new: SubjectKey
) -> dict[str, str | None]:
    """Returns the encrypted columns of a row of `SUBJECTS`, encrypted anew under another key.

    Raises:
        GalleryUnusable: if one is damaged.
    """
    name, details = row["name"], row["details"]
    return {
        "name": name and new.encrypt_name(key.decrypt_name(name)),
        "details": details and new.encrypt_details(key.decrypt_details(details)),
    }
