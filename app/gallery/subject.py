"""What a gallery knows of a subject, and of each of its templates."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.palm.capture import Capture

Hand = Literal["left", "right"]
Origin = Literal["trained", "enrolled"]


class Subject(BaseModel):
    """One palm that the service knows."""

    model_config = ConfigDict(frozen=True)

    subject_id: str = Field(description="The subject's id, unique.", examples=["p003"])
    name: str | None = Field(
        description="Free text chosen by the operator, up to 200 characters; null if unknown.",
        examples=["Ada Lovelace"],
    )
    hand: Hand | None = Field(
        description="The hand that the palm belongs to; null if unknown.", examples=["left"]
    )
    origin: Origin = Field(
        description='"trained": the nets were trained on it; "enrolled": /v1/enroll added it.',
        examples=["enrolled"],
    )
    collection: str = Field(
        description="The collection that the subject belongs to.", examples=["default"]
    )
    created_at: datetime = Field(
        description="When the subject was stored, UTC.", examples=["2026-11-28T00:06:23.374396Z"]
    )
    template_counts: dict[str, int] = Field(
        description="Number of enrolled templates by net and template id, each 1 or more. The "
        "templates that a trained subject has from training are not counted.",
        examples=[{"alexnet:0c1d2e3f4a5b6c7d": 3, "vgg16:0123456789abcdef": 3}],
    )
    captures: list[Capture] = Field(
        description='How these templates were captured: "hand", "roi" or both. Empty for templates '
        "from training, or of a release that did not record it.",
        examples=[["hand"]],
    )
    metadata: dict[str, str] = Field(
        default={},
        description="What the operator's own systems know the subject by: up to 16 texts of up to "
        "200 characters, each under a key of up to 64. Empty without the scope `read`, but in an "
        "export.",
        examples=[{"department": "archive"}],
    )
    consent: str | None = Field(
        default=None,
        description="Where the person's consent is recorded, such as the number of a document; up "
        "to 200 characters; null if unknown, and without the scope `read`, but in an export.",
        examples=["form 2026-1187"],
    )
    retain_until: datetime | None = Field(
        default=None,
        description="When the subject is erased, UTC; from then on it is in no answer. Null "
        "without end, and without the scope `read`, but in an export.",
        examples=["2127-11-30T09:00:00Z"],
    )


class Template(BaseModel):
    """One enrolled image of a subject."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(
        description="The template's number, 1 or more; never used again in this gallery.",
        examples=[412],
    )
    capture: Capture | None = Field(
        description="How it was captured; null if a former release did not record it.",
        examples=["hand"],
    )
    added_at: datetime | None = Field(
        description="When it was enrolled, UTC; null if a former release did not record it.",
        examples=["2026-11-30T09:00:00Z"],
    )
    nets: list[str] = Field(
        description="The nets and template ids that it can be compared by.",
        examples=[["alexnet:0c1d2e3f4a5b6c7d", "vgg16:0123456789abcdef"]],
    )
    camera: str | None = Field(
        default=None,
        description="The camera that took the image, as the enrolment named it, up to 64 "
        "characters; null if it named none.",
        examples=["front-door"],
    )
