"""Which collections of subjects a request is limited to; the route that lists them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from app.access.keys import Caller, CollectionUnnamed
from app.api.access import Guarded, guarded
from app.api.query import KNOWN_QUERY
from app.api.schemas import leave_empty
from app.api.service import GalleryDep
from app.gallery.collection import COLLECTION_RULE, CollectionName, CollectionSize, Within

MAX_SEARCHED = 20
"""Most collections that a search may name."""

CollectionField = Annotated[
    CollectionName | SkipJsonSchema[None],
    Field(
        description=f"The collection that the subject belongs to: {COLLECTION_RULE}. If left out, "
        'for a new subject "default", or the only one that the API key is limited to.',
        json_schema_extra=leave_empty,
    ),
]


def _without_empty(names: Sequence[str]) -> list[str]:
    """Leaves out what Swagger UI sends for an empty field."""
    return [name for name in names if name != ""]


CollectionsField = Annotated[
    list[CollectionName],
    BeforeValidator(_without_empty),
    Field(
        default_factory=list,
        max_length=MAX_SEARCHED,
        description=f"Names of up to {MAX_SEARCHED} collections to search, a field for each. If "
        "left out, all that the API key may see.",
        json_schema_extra=leave_empty,
    ),
]


class Collections(BaseModel):
    """The collections that the caller may see."""

    collections: list[CollectionSize] = Field(description="The collections, in order of names.")


router = APIRouter(
    prefix="/v1/collections", tags=["subjects"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get("", summary="List the collections", **guarded("read"))
def list_collections(gallery: GalleryDep) -> Collections:
    """Lists the collections that have subjects, or those that the API key is limited to."""
    return Collections(collections=gallery.collections())


def collection_to_enroll(caller: Caller, named: str | None) -> str | None:
    """Returns the collection to enroll into; None leaves it to the gallery.

    Args:
        caller: who enrolls.
        named: the collection that the request names, if any.

    Raises:
        CollectionMissing: if the caller may not see that collection.
        CollectionUnnamed: if the caller must name one of several.
    """
    if named is not None:
        caller.require(named)
    elif caller.collections is not None:
        if len(caller.collections) > 1:
            raise CollectionUnnamed(caller.collections)
        (named,) = caller.collections
    return named


def collections_to_search(caller: Caller, named: Sequence[str]) -> Within:
    """Returns the collections to search: those that the request names, else all that it may see.

    Raises:
        CollectionMissing: if the caller may not see one that is named.
    """
    for collection in named:
        caller.require(collection)
    return frozenset(named) if named else caller.collections
