"""The API keys in the gallery's database."""

from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Engine, RowMapping, delete, insert, select, update

from app.access.keys import Key, KeyUnknown, Scope, StoredKey
from app.gallery.sql.failures import named_failures
from app.gallery.sql.schema import GALLERY, KEYS


class SqlKeys:
    """A `KeyStore` in the tables of a gallery."""

    def __init__(self, engine: Engine) -> None:
        """Creates the store; see `SqlGallery`."""
        self._engine = engine

    def read(self) -> list[StoredKey]:
        """See `KeyStore.read`."""
        query = select(KEYS).order_by(KEYS.c.created_at, KEYS.c.key_id)
        with named_failures(self._engine), self._engine.begin() as connection:
            return [_stored(row) for row in connection.execute(query).mappings()]

    def add(self, key: StoredKey, *, only_first: bool = False) -> bool:
        """See `KeyStore.add`."""
        with named_failures(self._engine), self._engine.begin() as connection:
            # Writers wait for each other here, so that only one of them finds no key.
            connection.execute(update(GALLERY).values(revision=GALLERY.c.revision))
            if only_first and connection.execute(select(KEYS.c.key_id)).first() is not None:
                return False
            connection.execute(insert(KEYS), _row(key))
            return True

    def replace(self, key: StoredKey) -> None:
        """See `KeyStore.replace`."""
        own = KEYS.c.key_id == key.key.key_id
        with named_failures(self._engine), self._engine.begin() as connection:
            if not connection.execute(update(KEYS).where(own).values(_row(key))).rowcount:
                raise KeyUnknown(key.key.key_id)

    def clear(self) -> int:
        """See `KeyStore.clear`."""
        with named_failures(self._engine), self._engine.begin() as connection:
            return connection.execute(delete(KEYS)).rowcount


def _row(stored: StoredKey) -> dict[str, object]:
    key = stored.key
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": " ".join(key.scopes),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at and key.expires_at.astimezone(UTC).isoformat(),
        "digest": stored.digest,
        "collections": None if key.collections is None else " ".join(key.collections),
    }


def _stored(row: RowMapping) -> StoredKey:
    key = Key(
        key_id=row["key_id"],
        name=row["name"],
        scopes=[cast(Scope, scope) for scope in row["scopes"].split()],
        created_at=datetime.fromisoformat(row["created_at"]),
        expires_at=datetime.fromisoformat(row["expires_at"]) if row["expires_at"] else None,
        collections=None if row["collections"] is None else row["collections"].split(),
    )
    return StoredKey(key, row["digest"])
