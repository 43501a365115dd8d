"""Issues API keys and tells who a caller is. Knows no HTTP and no SQL."""

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from time import monotonic

from app.access.keys import (
    SCOPES,
    Caller,
    Key,
    KeyMissing,
    KeyRefused,
    KeyStore,
    KeyUnknown,
    Scope,
    StoredKey,
    refuse_limits,
)
from app.gallery.errors import GalleryUnreachable, GalleryUnusable
from app.gallery.outage import Moment, Outage

REFRESH_S = 1.0
"""How long a key that another process revoked may still be accepted, unless in an outage."""

DIGEST_BYTES = 32

_FORMAT = re.compile(r"palm_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_PURPOSE = b"api key:"  # the former releases' secret, the master key, has other uses


def issue(
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime | None,
    secret: bytes,
    *,
    collections: Sequence[str] | None = None,
) -> tuple[StoredKey, str]:
    """Returns a new key as it is stored, and the key itself, which nothing can recover.

    Raises:
        ValueError: if it must not be limited to collections.
    """
    refuse_limits(scopes, collections)
    key_id = secrets.token_hex(4)
    token = f"palm_{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(
        key_id=key_id,
        name=name,
        scopes=sorted(set(scopes), key=SCOPES.index),
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        collections=None if collections is None else sorted(set(collections)),
    )
    return _seal(key, _digest(token, secret), secret), token


class KeyRing:
    """Tells who a caller is; safe for concurrent callers."""

    def __init__(self, store: KeyStore, secret: bytes, *, outage: Outage | None = None) -> None:
        """Creates the ring; reads nothing.

        Args:
            store: where the keys are.
            secret: 32 bytes that key the hashes.
            outage: the state of the store; by default, nobody is let in while it is unreachable.
        """
        self._outage = outage or Outage()
        self._store = store
        self._secret = secret
        self._known: Mapping[str, StoredKey] = {}
        self._read_at: Moment | None = None
        self._failed: tuple[float, Exception] | None = None
        self._lock = Lock()

    @property
    def is_stale(self) -> bool:
        """Whether the keys must be read again before a caller is let in."""
        read_at = self._read_at
        return read_at is None or self._outage.now().elapsed_s - read_at.elapsed_s > REFRESH_S

    def refresh(self) -> None:
        """Reads the keys if they are stale; one caller does so for all that wait.

        In an outage, those that were last read are used as long as `Outage` allows.

        Raises:
            GalleryUnusable: if they cannot be read; then nobody is let in.
        """
        try:
            self._outage.check()
            self._refresh()
        except GalleryUnreachable:
            if not self._outage.may_use(self._read_at):
                raise

    def _refresh(self) -> None:
        with self._lock:
            if self._failed and monotonic() - self._failed[0] < REFRESH_S:
                raise self._failed[1]  # else all that wait would wait for the store one by one
            if self.is_stale:
                self._read()

    def _read(self) -> None:
        started, self._failed = self._outage.now(), None
        try:
            with self._outage.noting():
                self._known = {stored.key.key_id: stored for stored in self._store.read()}
        except GalleryUnusable as error:
            self._failed = monotonic(), error
            raise
        self._read_at = started

    def caller(self, token: str | None, *, is_local: bool) -> Caller:
        """Returns who sends a request. Call `refresh` before if the ring is stale.

        Without any key, whoever is on this machine may do everything, and nobody else anything.

        Args:
            token: the key that was sent; None if none was.
            is_local: whether the request comes from this machine.

        Raises:
            KeyMissing: if a key is needed and none was sent.
            KeyRefused: if the key is unknown or has expired.
        """
        if token is None:
            if is_local and not self._known:
                return Caller(None, frozenset(SCOPES))
            raise KeyMissing
        match = _FORMAT.fullmatch(token)
        stored = self._known.get(match[1]) if match else None
        given = _digest(token, self._secret)
        # Also compared for an unknown id, so that the time tells nothing.
        sealed = _seal(stored.key, given, self._secret).digest if stored else b""
        right = hmac.compare_digest(sealed, stored.digest if stored else bytes(2 * len(given)))
        if stored is None or not right or not stored.key.is_valid():
            raise KeyRefused
        within = stored.key.collections
        return Caller(
            stored.key.key_id,
            frozenset(stored.key.scopes),
            None if within is None else frozenset(within),
            stored.key.name,
            stored.key.expires_at,
        )

    def list(self) -> list[Key]:
        """Returns all keys; see `KeyStore.read`."""
        return [stored.key for stored in self._store.read()]

    def create(
        self,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None = None,
        collections: Sequence[str] | None = None,
    ) -> tuple[Key, str]:
        """Creates and stores a key.

        Args:
            name: who uses it.
            scopes: what its holder may do.
            expires_at: when it stops working; None is never.
            collections: names of the collections that its holder may see; None for all.

        Returns:
            What is known of the key, and the key itself.

        Raises:
            ValueError: see `refuse_limits`.
        """
        stored, token = issue(name, scopes, expires_at, self._secret, collections=collections)
        self._store.add(stored)
        self._forget()
        return stored.key, token

    def create_first(self) -> str | None:
        """Creates a key with every scope if there is no key at all; returns it, else None."""
        name = "first key, created at the first start"
        stored, token = issue(name, SCOPES, None, self._secret)
        added = self._store.add(stored, only_first=True)
        self._forget()
        return token if added else None

    def revoke(self, key_id: str) -> Key:
        """Lets a key expire now, unless it expired before; it stays in the list.

        Raises:
            KeyUnknown: if there is no key of this id.
        """
        known = {stored.key.key_id: stored for stored in self._store.read()}
        if key_id not in known:
            raise KeyUnknown(key_id)
        stored = known[key_id]
        if stored.key.is_valid():
            key = stored.key.model_copy(update={"expires_at": datetime.now(UTC)})
            stored = _seal(key, stored.digest[:DIGEST_BYTES], self._secret)
            self._store.replace(stored)
            self._forget()
        return stored.key

    def _forget(self) -> None:
        """Lets the next caller read the keys anew."""
        with self._lock:
            self._read_at = None


def _seal(key: Key, digest: bytes, secret: bytes) -> StoredKey:
    """Returns a key as it is stored, by the hash of the key itself."""
    until = key.expires_at and key.expires_at.astimezone(UTC).isoformat()
    told = f"{key.key_id} {' '.join(key.scopes)} {until}"
    if key.collections is not None:  # else as in the former release
        told += f" collections {' '.join(key.collections)}"
    seal = hmac.digest(secret, b"seal:" + digest + told.encode(), "sha256")
    return StoredKey(key, digest + seal)


def _digest(token: str, secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + token.encode(), "sha256")
