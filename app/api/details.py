"""The fields of requests that tell about a subject: metadata, consent, retention date."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from app.api.names import Name
from app.api.schemas import RequestBody, leave_empty
from app.gallery.collection import COLLECTION_RULE, DEFAULT, CollectionName
from app.gallery.sql.records import FieldValue
from app.gallery.subject import Hand

METADATA_KEY = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MAX_METADATA = 16
DETAILS = ("metadata", "consent", "retain_until")

_METADATA = (
    "What your own systems know the subject by: up to 16 texts of one line and up to 200 "
    "characters, each under a key of 1 to 64 letters, digits, dots, dashes and underscores."
)
_CONSENT = (
    "Where the person's consent is recorded, such as the number of a document; up to 200 characters"
)
_RETAIN_UNTIL = (
    "When the subject is erased: a time in the future, with a time zone. It needs the scope `erase`"
)


def check_future(at: datetime) -> datetime:
    """Returns a time in UTC; raises ValueError unless it is in the future."""
    try:
        utc = at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time before the year 10000 in UTC") from None
    if utc <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return utc


def _parse(metadata: object) -> object:
    """Reads a JSON object from the text of a form's field."""
    if not isinstance(metadata, str):
        return metadata
    try:
        return json.loads(metadata)
    except (ValueError, RecursionError):
        raise ValueError(
            'must be a JSON object of texts, such as {"department": "archive"}'
        ) from None


FutureTime = Annotated[AwareDatetime, AfterValidator(check_future)]
Metadata = Annotated[
    dict[Annotated[str, Field(pattern=METADATA_KEY)], Name], Field(max_length=MAX_METADATA)
]

MetadataField = Annotated[
    Annotated[Metadata, BeforeValidator(_parse), WithJsonSchema({"type": "string"})]
    | SkipJsonSchema[None],
    Field(description=f"{_METADATA} A JSON object as text.", json_schema_extra=leave_empty),
]
ConsentField = Annotated[
    Name | SkipJsonSchema[None],
    Field(description=f"{_CONSENT}.", json_schema_extra=leave_empty),
]
RetainUntilField = Annotated[
    FutureTime | SkipJsonSchema[None],
    Field(description=f"{_RETAIN_UNTIL} with add=true.", json_schema_extra=leave_empty),
]


def details_of(form: BaseModel) -> dict[str, FieldValue]:
    """Returns the fields of a form that are `DETAILS` and have a value."""
    found: dict[str, Any] = {one: getattr(form, one) for one in DETAILS}
    return {one: value for one, value in found.items() if value is not None}


def _omit_default(schema: dict[str, Any]) -> None:
    """Leaves out the default of a field that stays as it is if it is omitted."""
    del schema["default"]


class SubjectChanges(RequestBody):
    """The fields to change: an omitted field stays as it is, null clears it."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Ada"}})

    name: Name | None = Field(
        default=None, description="Free text of one line, up to 200 characters; null clears it."
    )
    hand: Hand | None = Field(
        default=None, description="The hand that the palm belongs to; null clears it."
    )
    collection: CollectionName = Field(
        default=DEFAULT,
        description=f"The collection to move the subject to: {COLLECTION_RULE}.",
        json_schema_extra=_omit_default,
    )
    metadata: Metadata | None = Field(
        default=None, description=f"{_METADATA} They replace all former ones; null clears them."
    )
    consent: Name | None = Field(default=None, description=f"{_CONSENT}; null clears it.")
    retain_until: FutureTime | None = Field(
        default=None, description=f"{_RETAIN_UNTIL}; null keeps the subject without end."
    )

    @model_validator(mode="after")
    def _require_a_field(self) -> Self:
        if not self.model_fields_set:
            fields = ", ".join(type(self).model_fields)
            message = "nothing to change; send one of {fields}"
            raise PydanticCustomError("no_field", message, {"fields": fields})
        return self
