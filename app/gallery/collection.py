"""Collections: each subject belongs to one, and callers and searches may be limited to some."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DEFAULT = "default"
"""The collection of subjects for whom none is named, and of trained identities."""

COLLECTION_RULE = (
    "1 to 64 small letters, digits, dots, dashes and underscores, of which the first is a letter "
    "or digit"
)

CollectionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]

Within = frozenset[str] | None
"""Names of the collections that somebody may see or search; None for all."""


def narrowed(within: Within, further: Within) -> Within:
    """Returns the collections that are in both; None for all."""
    if within is None or further is None:
        return further if within is None else within
    return within & further


class CollectionSize(BaseModel):
    """One collection."""

    model_config = ConfigDict(frozen=True)

    collection: str = Field(description="The collection's name.", examples=["default"])
    subjects: int = Field(description="Number of subjects in it.", examples=[160])
