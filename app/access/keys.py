"""API keys: who may do what. Knows no HTTP and no SQL.

A key is shown once. Stored is a hash of it, keyed by a secret that the master key encrypts: so a
stolen gallery alone lets nobody in and tells nobody whether a key is right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Scope = Literal[
    "identify",
    "verify",
    "inspect",
    "enroll",
    "force",
    "read",
    "erase",
    "export",
    "explain",
    "scores",
    "metrics",
    "admin",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

Need = Scope | Literal["any"]
"""What a route needs of a key: a scope, or only that the key works."""


class Key(BaseModel):
    """An API key, without the key itself."""

    model_config = ConfigDict(frozen=True)

    key_id: str = Field(
        description="The key's id, 8 hexadecimal digits: the second part of the key itself.",
        examples=["3f9a1c04"],
    )
    name: str = Field(description="Who uses it, up to 200 characters.", examples=["front door"])
    scopes: list[Scope] = Field(
        description="What its holder may do.", examples=[["identify", "inspect"]]
    )
    created_at: AwareDatetime = Field(
        description="When it was created, UTC.", examples=["2026-11-30T09:00:00Z"]
    )
    expires_at: AwareDatetime | None = Field(
        description="When it stops working, or stopped, UTC; null if it never does.",
        examples=["2027-11-30T09:00:00Z"],
    )
    collections: list[str] | None = Field(
        default=None,
        description="The collections of subjects that its holder may see, search and change; null "
        "for all.",
        examples=[["staff"]],
    )

    def is_valid(self) -> bool:
        """Tells whether the key works now."""
        return self.expires_at is None or datetime.now(UTC) < self.expires_at


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored.

    Attributes:
        key: what everybody with scope admin may read.
        digest: keyed hash of the key itself, 32 bytes, and another of that hash and of what the
            key may do and how long: who alters these in the store makes the key useless.
    """

    key: Key
    digest: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Attributes:
        key_id: id of the key; None for a caller on this machine while there are no keys.
        scopes: what the caller may do.
        collections: names of the collections that the caller may see; None for all.
        name: who uses the key; None without one.
        expires_at: when the key stops working; None if it never does.
    """

    key_id: str | None
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    name: str | None = None
    expires_at: datetime | None = None

    def require(self, collection: str) -> None:
        """Checks that the caller may see a collection.

        Raises:
            CollectionMissing: if it may not, whether or not the collection has subjects.
        """
        if self.collections is not None and collection not in self.collections:
            raise CollectionMissing(collection)


def refuse_limits(scopes: Sequence[Scope], collections: Sequence[str] | None) -> None:
    """Refuses a key that could create keys beyond its own limits.

    Raises:
        ValueError: if a key is to be limited to collections, and to have the scope admin.
    """
    if collections is not None and "admin" in scopes:
        raise ValueError(
            "a key with the scope 'admin' cannot be limited to collections, because it can create "
            "keys without limits: leave the collections out, or name all other scopes"
        )


class KeyMissing(Exception):
    """The request has no key."""

    def __init__(self) -> None:
        super().__init__(
            "send an API key as the header `Authorization: Bearer palm_...`; `python -m app keys "
            "create` makes one"
        )


class KeyRefused(Exception):
    """The key is unknown or has expired."""

    def __init__(self) -> None:
        super().__init__(
            "this API key is unknown or has expired; `python -m app keys create` makes another"
        )


class ScopeMissing(Exception):
    """The key does not allow what is asked for."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            f"this API key lacks the scope {scope!r}; ask whoever runs the service for a key that "
            "has it"
        )


class CollectionMissing(Exception):
    """The key is limited to other collections."""

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"this API key lacks the collection {collection!r}; ask whoever runs the service for a "
            "key that has it"
        )


class CollectionUnnamed(Exception):
    """The key is limited to several collections, and none is named for a new subject."""

    def __init__(self, collections: Iterable[str]) -> None:
        super().__init__(
            "this API key is limited to several collections: name the subject's, one of "
            + ", ".join(sorted(collections))
        )


class KeyUnknown(Exception):
    """There is no key of this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id!r:.80}; `python -m app keys list` shows all")


class KeyStore(Protocol):
    """Durable keys; every method raises `GalleryUnusable` if the store fails."""

    def read(self) -> list[StoredKey]:
        """Returns all keys, also expired ones, in the order of their creation."""
        ...

    def add(self, key: StoredKey, *, only_first: bool = False) -> bool:
        """Stores a key.

        Args:
            key: the key.
            only_first: whether to store it only if there is no key at all.

        Returns:
            Whether it was stored.
        """
        ...

    def clear(self) -> int:
        """Removes all keys; returns how many there were."""
        ...

    def replace(self, key: StoredKey) -> None:
        """Stores a key in place of that of the same id.

        Raises:
            KeyUnknown: if there is none.
        """
        ...
