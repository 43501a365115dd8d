"""The rows of a backup: every row of every table of a gallery, as of one revision.

What the master key encrypts is decrypted here, and encrypted again under the master key of whoever
restores it: subjects' keys, sums and secrets. So a backup must be encrypted as a whole. Templates
and names stay as they are, under their subjects' keys.
"""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from sqlalchemy import Connection, RowMapping, Table, select

from app.gallery.backup.carried import read_rows, write_row
from app.gallery.backup.contents import Contents, Written
from app.gallery.encryption.cipher import NotAuthentic
from app.gallery.encryption.vault import Vault
from app.gallery.errors import ROTATION_UNFINISHED, GalleryUnusable
from app.gallery.pgvector.schema import SECRET
from app.gallery.sql.batches import batches
from app.gallery.sql.schema import (
    ERASURES,
    GALLERY,
    MAP_SUMS,
    MAPS,
    METADATA,
    SECRETS,
    SUBJECT_KEYS,
    SUBJECTS,
)
from app.gallery.sql.sums import decrypt_sum

END = "end"
"""The last row's table: it tells how many subjects there are, and how many were left out."""

_AT_ONCE = 100  # rows that are read at a time


def write_gallery(connection: Connection, vault: Vault, out: BinaryIO) -> Written:
    """Writes all rows, subjects before their templates.

    All keys are read at once: SQLite keeps them in a database of their own, where an erasure, also
    of a single template, or a change of an id removes one at once. Whose key is gone by then is
    left out; the sums may still hold its share. Coarse maps and their keys are left out, because
    they can be computed.

    Args:
        connection: a transaction in which all reads see one revision, which has begun.
        vault: the gallery's vault.
        out: where to write; whatever is written there must be encrypted.

    Raises:
        GalleryUnusable: if a subject's key, a sum or a secret is damaged.
    """
    wrapped = vault.wrapped.read_all(connection)
    subjects, left_out = 0, set[str]()
    for table in METADATA.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns)
        rows = connection.execute(query, execution_options={"yield_per": _AT_ONCE}).mappings()
        for some in batches(rows, _AT_ONCE):
            if table is SUBJECTS:
                kept = _write_keys(vault, wrapped, some, out)
                left_out |= {row["subject_id"] for row in some} - {
                    row["subject_id"] for row in kept
                }
                subjects += len(kept)
                some = kept
            elif table is SECRETS:
                some = [row for row in some if not row["name"].startswith(SECRET)]
            for row in some:
                if table is not MAPS or row["subject_id"] not in left_out:
                    write_row(out, table.name, _opened(vault, table, row))
    write_row(out, END, {"subjects": subjects, "left_out": len(left_out)})
    return Written(subjects, len(left_out))


def read_contents(source: BinaryIO) -> Contents:
    """Reads a whole backup, and so checks every byte of it.

    Raises:
        BackupUnusable: if it was altered.
    """
    found = Contents()
    for table, row in read_rows(source):
        if table == GALLERY.name:
            found.revision, found.next_number = row["revision"], row["next_number"]
        elif table == SUBJECTS.name:
            found.subjects[row["number"]] = row["subject_id"]
            if row["origin"] == "enrolled":
                found.enrolled_at[row["number"]] = row["created_at"]
        elif table == SUBJECT_KEYS.name:
            found.keys[row["number"]] = row["wrapped"]
        elif table == MAPS.name:
            found.images[row["subject_id"]].add(row["number"])
        elif table == ERASURES.name:
            found.receipts.add(row["erasure_id"])
        elif table == SECRETS.name:
            found.secrets[row["name"]] = row["encrypted"]
        elif table == END:
            found.left_out = row["left_out"]
    return found


def _write_keys(
    vault: Vault, wrapped: Mapping[int, bytes], rows: Sequence[RowMapping], out: BinaryIO
) -> Sequence[RowMapping]:
    """Writes the keys of the subjects in some rows; returns the rows of those that have one."""
    kept = [row for row in rows if row["number"] in wrapped]
    for row in kept:
        number, subject_id = row["number"], row["subject_id"]
        try:
            key = vault.decrypt("subject keys", wrapped[number], number, subject_id)
        except NotAuthentic as error:
            raise GalleryUnusable(
                f"the gallery is damaged: the key of subject {subject_id!r}; {ROTATION_UNFINISHED}"
                "delete this subject, and make the backup again"
            ) from error
        write_row(out, SUBJECT_KEYS.name, {"number": number, "wrapped": key})
    return kept


def _opened(vault: Vault, table: Table, row: RowMapping) -> Mapping[str, Any]:
    """Returns a row without the encryption under the master key."""
    if table is MAP_SUMS:
        return {**row, "sums": decrypt_sum(vault, row)}
    if table is SECRETS:
        try:
            secret = vault.decrypt("secrets", row["encrypted"], row["name"])
        except NotAuthentic as error:
            raise GalleryUnusable(
                f"the gallery is damaged: its secret for {row['name']}; restore a backup"
            ) from error
        return {**row, "encrypted": secret}
    return dict(row)
