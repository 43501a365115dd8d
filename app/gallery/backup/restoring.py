"""Puts the rows of a backup into a gallery, within one transaction."""

import secrets
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, BinaryIO

from sqlalchemy import Connection, Table, delete, insert, select, update

from app.audit.pseudonyms import Pseudonyms
from app.gallery.backup.carried import read_rows
from app.gallery.backup.contents import Contents, Later, Restored
from app.gallery.backup.replay import Replay, plan_replay
from app.gallery.encryption.cipher import NotAuthentic
from app.gallery.encryption.reencryption import read_all_secrets, read_secrets, renew_template_key
from app.gallery.encryption.template_keys import NAME
from app.gallery.encryption.vault import Vault
from app.gallery.errors import GalleryUnusable
from app.gallery.pgvector.schema import drop_versions
from app.gallery.sql.batches import batches
from app.gallery.sql.erasures import KEYS_LEFT, leave
from app.gallery.sql.schema import (
    ERASED,
    ERASURES,
    GALLERY,
    KEYS,
    MAP_SUMS,
    MAPS,
    METADATA,
    REMOVED,
    SECRETS,
    SUBJECTS,
)
from app.gallery.sql.seeding import insert_rows
from app.gallery.sql.sums import encrypt_sum, read_summed, recompute_sums

GAP = 1_000_000
"""How many numbers are skipped if a lost gallery may have used them after the backup."""

_ONCE_ONLY = (ERASED, REMOVED, ERASURES, SECRETS)
"""Tables whose rows stay, and to which those of the backup are added that they lack."""

_AT_ONCE = 100  # rows that are in memory


def is_same_gallery(connection: Connection, vault: Vault, contents: Contents) -> bool:
    """Tells whether a backup was made of this gallery, or of an earlier state of it."""
    return read_secrets(connection, vault).pseudonyms == contents.secrets["pseudonyms"]


def restore_gallery(
    connection: Connection,
    vault: Vault,
    revision: int,
    contents: Contents,
    source: BinaryIO,
    later: Later,
) -> Restored:
    """Replaces the gallery's rows by those of a backup, except what was erased after it.

    Of the same gallery, its receipts, its API keys and its subjects' retention dates stay, because
    they are newer.

    Args:
        connection: a writer's transaction.
        vault: the gallery's vault.
        revision: the transaction's.
        contents: what `read_contents` has read of the same backup.
        source: the backup's rows.
        later: what an audit log tells.

    Raises:
        BackupUnusable: if the backup was altered since it was read.
        GalleryUnusable: if it cannot be put into this gallery.
    """
    same = is_same_gallery(connection, vault, contents)
    replay = plan_replay(connection, contents, later, same=same)
    if same:
        _check_lineage(connection, vault, contents, replay)
    revision = max(revision, contents.revision + 1)
    rows = _Rows(connection, vault, contents, replay, later, revision, same=same)
    drop_versions(connection)  # they are of other subjects, and under a secret that may be removed
    is_older = same and _has_former_template_keys(connection, contents)
    summed = read_summed(connection)  # kept subjects may have maps that no sum of the backup has
    dropped = _clear(connection, contents, replay, same=same)
    restored = {
        number: key for number, key in contents.keys.items() if number not in replay.left_out
    }
    _add_keys(connection, vault, contents, restored)
    for table, some in _batches_by_table(source):
        rows.insert(table, some)
    if is_older:  # the next `rotate-templates` finishes under a key that nobody had before
        renew_template_key(connection, vault)
    _forbid(connection, rows.forbidden)
    _mark(connection, contents, revision, same=same)
    if replay.left_out or replay.kept or contents.left_out:
        recompute_sums(connection, vault, summed | read_summed(connection))
    return Restored(
        len(restored),
        replay.erased,
        replay.thinned,
        len(replay.kept),
        dropped,
        rows.keys_left_out,
        replay.moved,
    )


class _Rows:
    """Inserts the rows of a backup."""

    def __init__(
        self,
        connection: Connection,
        vault: Vault,
        contents: Contents,
        replay: Replay,
        later: Later,
        revision: int,
        *,
        same: bool,
    ) -> None:
        self._connection = connection
        self._vault = vault
        self._left_out = replay.left_out
        self._ids = {contents.subjects[number] for number in replay.left_out}
        self._later = later
        self._revision = revision
        self._same = same
        self._until = _retention_dates(connection) if same else dict[int, str]()
        self._names = Pseudonyms(contents.secrets["pseudonyms"])
        self._known: dict[str, set[Any]] = {}
        self.forbidden: list[str] = []  # trained identities that were erased after the backup
        self.keys_left_out = 0
        self._change: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            SUBJECTS.name: self._subject,
            MAPS.name: lambda row: None if row["subject_id"] in self._ids else row,
            MAP_SUMS.name: lambda row: {**row, "sums": encrypt_sum(vault, row["sums"], row)},
            SECRETS.name: self._secret,
            KEYS.name: self._key,
        }

    def insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Inserts those of a table's rows that are to be restored."""
        change = self._change.get(table.name, lambda row: row)
        kept = [changed for row in rows if (changed := change(row)) is not None]
        if table in _ONCE_ONLY:
            kept = self._new(table, kept)
        if (numbered := table.autoincrement_column) is not None:
            for row in kept:
                del row[numbered.name]  # the order of the rows stays
        if kept:
            self._connection.execute(insert(table), kept)

    def _subject(self, row: dict[str, Any]) -> dict[str, Any] | None:
        subject_id = row["subject_id"]
        if row["number"] in self._left_out:
            if row["origin"] == "trained" and self._names.of(subject_id) in self._later.erased:
                self.forbidden.append(subject_id)
            return None
        until = self._until.get(row["number"], row["retain_until"])
        return {**row, "changed": self._revision, "retain_until": until}

    def _secret(self, row: dict[str, Any]) -> dict[str, Any]:
        encrypted = self._vault.encrypt("secrets", row["encrypted"], row["name"])
        return {**row, "encrypted": encrypted}

    def _key(self, row: dict[str, Any]) -> dict[str, Any] | None:
        if self._same:
            return None
        if self._later.are_keys_reset or row["key_id"] in self._later.revoked:
            self.keys_left_out += 1
            return None
        return row

    def _new(self, table: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the rows that a table does not have."""
        (column,) = table.primary_key.columns
        if table.name not in self._known:
            self._known[table.name] = set(self._connection.scalars(select(column)))
        return [row for row in rows if row[column.name] not in self._known[table.name]]


def _batches_by_table(source: BinaryIO) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Yields a backup's rows, some at a time, except those that are read from its contents."""
    for name, rows in groupby(read_rows(source), attrgetter("table")):
        if name in METADATA.tables and name != GALLERY.name:
            for some in batches(rows, _AT_ONCE):
                yield METADATA.tables[name], [one.row for one in some]


def _retention_dates(connection: Connection) -> dict[int, str | None]:
    """Returns the subjects' retention dates, by number."""
    rows = connection.execute(select(SUBJECTS.c.number, SUBJECTS.c.retain_until))
    return {row.number: row.retain_until for row in rows}


def _has_former_template_keys(connection: Connection, contents: Contents) -> bool:
    """Tells whether a backup was made before the gallery's templates were renewed."""
    own = set(connection.scalars(select(SECRETS.c.name)))
    return any(name.startswith(NAME) and name not in own for name in contents.secrets)


def _check_lineage(
    connection: Connection, vault: Vault, contents: Contents, replay: Replay
) -> None:
    """Refuses a backup of a gallery that went another way since an earlier backup was restored.

    Then one number may stand for two subjects, and nobody could tell what was erased.
    """
    own = {row.number: row.subject_id for row in connection.execute(select(SUBJECTS))}
    shared = [number for number in own.keys() & contents.keys.keys() - replay.left_out]
    wrapped = vault.wrapped.read(connection, shared)
    secret = read_all_secrets(connection, vault)
    strange = [number for number in shared if own[number] != contents.subjects[number]]
    for number, stored in wrapped.items():
        try:
            key = vault.decrypt("subject keys", stored, number, own[number])
        except NotAuthentic:
            continue  # a damaged one, which the backup repairs
        if key != contents.keys[number]:
            strange.append(number)
    if strange or any(contents.secrets.get(name, one) != one for name, one in secret.items()):
        raise GalleryUnusable(
            "the gallery and the backup are of one origin, but both have changed since: restore "
            "into an empty gallery (PALM_GALLERY_URL), and name the audit log by --audit; nothing "
            "was changed"
        )


def _clear(connection: Connection, contents: Contents, replay: Replay, *, same: bool) -> int:
    """Removes the gallery's rows, except what is kept; returns how many subjects it loses."""
    for table in METADATA.sorted_tables:
        is_kept = table in (GALLERY, SUBJECTS, MAPS) or (
            same and (table in _ONCE_ONLY or table is KEYS)
        )
        if not is_kept:
            connection.execute(delete(table))
    numbers = set(connection.scalars(select(SUBJECTS.c.number))) - replay.kept.keys()
    for some in batches(numbers):  # and their templates with them
        connection.execute(delete(SUBJECTS).where(SUBJECTS.c.number.in_(some)))
    return len(numbers - contents.subjects.keys())


def _add_keys(
    connection: Connection, vault: Vault, contents: Contents, keys: dict[int, bytes]
) -> None:
    """Stores the subjects' keys, wrapped under the gallery's own master key."""
    for some in batches(keys):
        wrapped = {
            number: vault.encrypt("subject keys", keys[number], number, contents.subjects[number])
            for number in some
        }
        vault.wrapped.add(connection, wrapped)


def _forbid(connection: Connection, subject_ids: list[str]) -> None:
    """Keeps the next start from adding trained identities again."""
    known = set(connection.scalars(select(ERASED.c.subject_id)))
    insert_rows(connection, ERASED, [{"subject_id": one} for one in {*subject_ids} - known])


def _mark(connection: Connection, contents: Contents, revision: int, *, same: bool) -> None:
    """Marks the gallery as another one, for processes that have it open."""
    number = connection.scalars(select(GALLERY.c.next_number)).one()
    changes = {
        "revision": revision,
        "next_number": max(number, contents.next_number + (0 if same else GAP)),
        "generation": secrets.token_hex(16),
    }
    connection.execute(update(GALLERY).values(changes))
    leave(connection, KEYS_LEFT)
