"""Encrypts a gallery that a former release wrote, and all of it anew under another master key."""

import secrets

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from app.gallery.encryption.cipher import KEY_BYTES, NotAuthentic
from app.gallery.encryption.secret_keys import Secrets
from app.gallery.encryption.template_keys import NAME
from app.gallery.encryption.vault import Vault
from app.gallery.errors import GalleryUnusable
from app.gallery.sql.batches import batches
from app.gallery.sql.erasures import KEYS_LEFT, PLAIN_LEFT, leave
from app.gallery.sql.schema import GALLERY, MAP_SUMS, MAPS, SECRETS, SUBJECTS
from app.gallery.sql.sums import decrypt_sum, encrypt_sum, is_sum

_SUBJECTS_AT_ONCE = 200  # their maps are in memory


def unlock(connection: Connection, vault: Vault) -> None:
    """Takes the gallery's master key into use, and encrypts a gallery that is not encrypted.

    Args:
        connection: a writer's transaction.
        vault: the gallery's vault.

    Raises:
        MasterKeyUnusable: if the master key is missing or another one.
    """
    gallery = connection.execute(select(GALLERY.c.master, GALLERY.c.revision)).one()
    if gallery.master is not None:
        vault.use(gallery.master)
        if not vault.template_keys(connection).by_id:  # of a former release
            renew_template_key(connection, vault)
        return
    vault.create()
    for name in Secrets._fields:
        add_secret(connection, vault, name)
    renew_template_key(connection, vault)
    _encrypt_subjects(connection, vault)
    if gallery.revision > 0:  # not a new gallery
        leave(connection, PLAIN_LEFT)
    for row in connection.execute(select(MAP_SUMS)).mappings().all():
        _write_sum(connection, vault, row, row["sums"])
    connection.execute(update(GALLERY).values(master=vault.used))


def renew_template_key(connection: Connection, vault: Vault) -> None:
    """Makes a new key transform templates from now on; former ones stay valid."""
    newest = max(map(int, vault.template_keys(connection).by_id), default=0)
    add_secret(connection, vault, f"{NAME}{newest + 1}")


def read_secrets(connection: Connection, vault: Vault) -> Secrets:
    """Returns the gallery's secrets.

    Raises:
        GalleryUnusable: if one is damaged.
    """
    return Secrets(*(read_secret(connection, vault, name) for name in Secrets._fields))


def read_all_secrets(connection: Connection, vault: Vault) -> dict[str, bytes]:
    """Returns all secret keys that are stored, by name.

    Raises:
        GalleryUnusable: if one is damaged.
    """
    names = connection.scalars(select(SECRETS.c.name)).all()
    return {name: read_secret(connection, vault, name) for name in names}


def add_secret(connection: Connection, vault: Vault, name: str) -> bytes:
    """Stores a new random key of 32 bytes within a writer's transaction, and returns it."""
    secret = secrets.token_bytes(KEY_BYTES)
    row = {"name": name, "encrypted": vault.encrypt("secrets", secret, name)}
    connection.execute(insert(SECRETS), row)
    return secret


def read_secret(connection: Connection, vault: Vault, name: str) -> bytes:
    """Returns one of the gallery's secrets.

    Raises:
        GalleryUnusable: if it is missing or damaged.
    """
    query = select(SECRETS.c.encrypted).where(SECRETS.c.name == name)
    try:
        return vault.decrypt("secrets", connection.scalars(query).one_or_none() or b"", name)
    except NotAuthentic as error:
        raise GalleryUnusable(
            f"the gallery is damaged: its secret for {name}; restore a backup"
        ) from error


def encrypt_anew(connection: Connection, vault: Vault, new_key: bytes) -> None:
    """Encrypts the subjects' keys, the sums and the secrets under a new master key.

    Templates are not read. If it was interrupted before, it goes on: whatever is under the new key
    already stays.

    Args:
        connection: a writer's transaction.
        vault: the gallery's vault.
        new_key: the new master key, 32 bytes, which stands in its place already.
    """
    sums = [
        (row, decrypt_sum(vault, row)) for row in connection.execute(select(MAP_SUMS)).mappings()
    ]
    kept = read_all_secrets(connection, vault)
    ids = {row.number: row.subject_id for row in connection.execute(select(SUBJECTS))}
    vault.use(vault.add(new_key))
    vault.wrapped.replace(
        connection,
        lambda number, key: vault.wrap_anew(number, ids.get(number, ""), key),
        vault.used,
    )
    for row, plain in sums:
        _write_sum(connection, vault, row, plain)
    for name, secret in kept.items():
        encrypted = vault.encrypt("secrets", secret, name)
        connection.execute(
            update(SECRETS).where(SECRETS.c.name == name).values(encrypted=encrypted)
        )
    connection.execute(update(GALLERY).values(master=vault.used))
    leave(connection, KEYS_LEFT)


def _encrypt_subjects(connection: Connection, vault: Vault) -> None:
    """Gives every subject a key, and encrypts its name and maps."""
    rows = connection.execute(select(SUBJECTS).order_by(SUBJECTS.c.number)).mappings().all()
    for some in batches(rows, _SUBJECTS_AT_ONCE):
        owners = {row["subject_id"]: row["number"] for row in some}
        ids = {number: subject_id for subject_id, number in owners.items()}
        vault.create_keys(connection, ids)
        keys = vault.keys_of(connection, ids)
        names = [
            {"of": row["number"], "name": keys[row["number"]].encrypt_name(row["name"])}
            for row in some
            if row["name"] is not None
        ]
        if names:
            own = SUBJECTS.c.number == bindparam("of")
            connection.execute(update(SUBJECTS).where(own), names)
        query = select(MAPS).where(MAPS.c.subject_id.in_(owners))
        maps = [
            {
                "of": row.map_id,
                **keys[owners[row.subject_id]].encrypt_map(
                    row.map, row.net, row.template_id, row.number
                ),
            }
            for row in connection.execute(query)
        ]
        if maps:
            connection.execute(update(MAPS).where(MAPS.c.map_id == bindparam("of")), maps)


def _write_sum(connection: Connection, vault: Vault, row: RowMapping, plain: bytes) -> None:
    own = is_sum(row["net"], row["template_id"], row["camera"])
    sums = encrypt_sum(vault, plain, row)
    connection.execute(update(MAP_SUMS).where(own).values(sums=sums))
