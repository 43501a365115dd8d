"""Transforms all templates anew under another key, beside running services; see `template_keys`.

A writer transforms under the newest key that its transaction sees, and writers wait for each other.
So once a new key is stored, no map comes under a former one, and each batch leaves fewer of them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import sleep
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, or_, select, update

from app.gallery.encryption.reencryption import renew_template_key
from app.gallery.encryption.template_keys import NAME
from app.gallery.encryption.vault import Vault
from app.gallery.errors import ROTATION_UNFINISHED, GalleryUnusable
from app.gallery.pgvector.schema import drop_versions
from app.gallery.sql.erasures import KEYS_LEFT, leave
from app.gallery.sql.schema import MAPS, SECRETS, SUBJECTS

MAPS_AT_ONCE = 100  # while they are transformed, other writers wait
PAUSE_S = 0.02  # then it is their turn

Writing = Callable[[], AbstractContextManager[tuple[Connection, int]]]


def rotate_templates(writing: Writing, vault: Vault) -> None:
    """Does what `Gallery.rotate_templates` tells, except for the purge.

    Args:
        writing: opens a writer's transaction.
        vault: the gallery's vault.

    Raises:
        GalleryUnusable: if a map cannot be decrypted; the former key then stays.
    """
    with writing() as (connection, _):
        if len(vault.template_keys(connection).by_id) == 1:  # otherwise a rotation is unfinished
            renew_template_key(connection, vault)
    while _renew_some(writing, vault):
        sleep(PAUSE_S)


def _renew_some(writing: Writing, vault: Vault) -> bool:
    """Transforms some maps anew, or destroys the former keys; returns whether to go on."""
    with writing() as (connection, _):
        keys = vault.template_keys(connection)
        former = [one for one in keys.by_id if one != keys.newest]
        due = or_(MAPS.c.transform.is_(None), MAPS.c.transform.in_(former))  # by the index
        query = select(MAPS, SUBJECTS.c.number.label("owner")).join(SUBJECTS).where(due)
        rows = connection.execute(query.limit(MAPS_AT_ONCE)).all()
        if not rows:
            gone = [NAME + one for one in former]
            connection.execute(delete(SECRETS).where(SECRETS.c.name.in_(gone)))
            drop_versions(connection)  # the next search computes them under another key
            leave(connection, KEYS_LEFT)
            return False
        _transform_anew(connection, vault, rows)
    return True


def _transform_anew(connection: Connection, vault: Vault, rows: Sequence[Row[Any]]) -> None:
    """Transforms maps under the newest key; each row is of `MAPS`, with its subject's number."""
    keys = vault.keys_of(connection, {row.owner: row.subject_id for row in rows})
    changed: list[dict[str, Any]] = []
    for row in rows:
        place = (row.net, row.template_id, row.number)
        key = keys.get(row.owner)
        plain = key.decrypt_map(row.map, *place, row.transform) if key else b""
        if not key or not plain:
            raise GalleryUnusable(
                f"a template of subject {row.subject_id!r} is damaged and cannot be renewed: "
                f"{ROTATION_UNFINISHED}delete this subject, then repeat the command"
            )
        changed.append({"of": row.map_id, **key.encrypt_map(plain, *place)})
    connection.execute(update(MAPS).where(MAPS.c.map_id == bindparam("of")), changed)
