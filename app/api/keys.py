"""The routes that manage the API keys."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, status
from pydantic import (
    BaseModel,
    Field,
    ValidationInfo,
    field_validator,
)

from app.access.keys import Key, KeyUnknown, Scope, refuse_limits
from app.api.access import Guarded, guarded
from app.api.audit import note
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.details import FutureTime
from app.api.errors import CrossSite
from app.api.names import Name
from app.api.query import KNOWN_QUERY
from app.api.schemas import RequestBody
from app.api.service import KeyRingDep
from app.gallery.collection import COLLECTION_RULE, CollectionName

MAX_KEY_ID_LENGTH = 64
"""Longest id that is looked up."""

_TOO_LONG = f"String should have at most {MAX_KEY_ID_LENGTH} characters"

KeyId = Annotated[
    str,
    Path(
        max_length=MAX_KEY_ID_LENGTH,
        description="The key's id, 8 hexadecimal digits.",
        examples=["3f9a1c04"],
    ),
]


class NewKey(RequestBody):
    """A key to create."""

    name: Name = Field(description="Who uses it, up to 200 characters.", examples=["front door"])
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=20,
        description="What its holder may do: 1 to 20 scopes.",
        examples=[["identify", "inspect"]],
    )
    expires_at: FutureTime | None = Field(
        default=None,
        description="When it stops working, in the future, with a time zone; never if left out.",
        examples=["2127-11-30T09:00:00Z"],
    )
    collections: list[CollectionName] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="The collections of subjects that its holder may see, search and change: 1 to "
        f"100 names, each {COLLECTION_RULE}; all if left out. Not with the scope admin.",
        examples=[["staff"]],
    )

    @field_validator("collections")
    @classmethod
    def _check_limits(cls, given: list[str] | None, info: ValidationInfo) -> list[str] | None:
        refuse_limits(info.data.get("scopes", ()), given)
        return given


class CreatedKey(Key):
    """A new key, and the only sight of it."""

    api_key: str = Field(
        description="The key itself. It is not stored and never shown again.",
        examples=["palm_3f9a1c04_" + "x" * 43],
    )


class Keys(BaseModel):
    """All keys."""

    keys: list[Key] = Field(description="All keys, also expired ones, the oldest first.")


router = APIRouter(
    prefix="/v1/keys", tags=["keys"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get("", summary="List the API keys", **guarded("admin"))
def list_keys(ring: KeyRingDep) -> Keys:
    """Lists all keys, without the keys themselves, which nobody can see again."""
    return Keys(keys=ring.list())


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Create an API key",
    **guarded(
        "admin",
        CrossSite,
        BodyTooSlow,
        BodyTooLarge,
        UploadRefused,
        invalid={"name": "must not be blank"},
    ),
)
def create_key(ring: KeyRingDep, request: Request, wanted: NewKey) -> CreatedKey:
    """Creates a key and shows it once. From the first one on, every caller needs a key."""
    key, token = ring.create(wanted.name, wanted.scopes, wanted.expires_at, wanted.collections)
    note(request, key=key.key_id)
    return CreatedKey(**dict(key), api_key=token)


@router.delete(
    "/{key_id}",
    summary="Revoke an API key",
    **guarded("admin", KeyUnknown, CrossSite, invalid={"key_id": _TOO_LONG}),
)
def revoke_key(ring: KeyRingDep, key_id: KeyId) -> Key:
    """Lets a key expire now, for other processes within a second. It stays in the list."""
    return ring.revoke(key_id)
