"""Problems (RFC 9457): their form, and their documentation with an example of each kind."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from fastapi import FastAPI
from pydantic import BaseModel, Field

from app.access.keys import (
    CollectionMissing,
    CollectionUnnamed,
    KeyMissing,
    KeyRefused,
    KeyUnknown,
    ScopeMissing,
)
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.errors import (
    AuditOff,
    CrossSite,
    ExplanationOff,
    NotConfirmed,
    NotReady,
    Overloaded,
    ReloadRefused,
    SubjectChanged,
    TooManyRequests,
    UnknownHost,
    UploadUnkept,
)
from app.api.kinds import INVALID, KINDS, Kind, detail_of
from app.api.middleware import FormIncomplete
from app.audit.log import AuditUnusable
from app.enrolment import HandDiffers, OtherPalm, PalmKnown, PalmsDiffer
from app.gallery.errors import (
    CollectionDiffers,
    ErasureUnknown,
    GalleryBusy,
    GalleryUnreachable,
    GalleryUnusable,
    HandsDiffer,
    LastTemplate,
    RequestDiffers,
    SameSubject,
    SubjectExists,
    SubjectUnknown,
    TemplatesMissing,
    TemplateUnknown,
    TrainedFixed,
)
from app.merging import MergeUnchecked, PalmsUnlike
from app.palm.errors import (
    ImageTooLarge,
    PalmNotFound,
    PoorQuality,
    UnreadableImage,
    UnsuitableImage,
    UnsupportedFormat,
)

MEDIA_TYPE = "application/problem+json"
_SUBJECT = "ada-left"  # of the examples
_KEY_ID = "3f9a1c04"  # likewise
_ERASURE_ID = "5d1a6e4c0c9f1d2b3a4e5f60710f8c4c"  # likewise


# An error of each kind, for the documentation.
_EXAMPLES = [
    FormIncomplete(),
    AuditOff(),
    ExplanationOff(),
    KeyMissing(),
    KeyRefused(),
    ScopeMissing("identify"),
    CollectionMissing("staff"),
    CollectionUnnamed(["staff", "visitors"]),
    CollectionDiffers(_SUBJECT, "staff"),
    KeyUnknown(_KEY_ID),
    TooManyRequests("600 per 1 minute", 7),
    CrossSite("cross-site"),
    UnknownHost("palm.example.org"),
    SubjectUnknown(_SUBJECT),
    ErasureUnknown(_ERASURE_ID),
    SubjectExists(_SUBJECT),
    TemplateUnknown(_SUBJECT, 412),
    LastTemplate(_SUBJECT),
    NotConfirmed("p003"),
    SubjectChanged(_SUBJECT),
    RequestDiffers(),
    HandDiffers(_SUBJECT, "left"),
    PalmKnown("bob", 14.27, 5.93),
    TemplatesMissing(_SUBJECT),
    BodyTooSlow(60.0),
    BodyTooLarge(32 * 2**20),
    ImageTooLarge(
        "the image has 8000x6000 = 48000000 pixels, more than 8000000; send a smaller one"
    ),
    UnsupportedFormat("image 1 of 1: PDF is not accepted; send PNG, JPEG, BMP, TIFF, WEBP"),
    UnreadableImage("image 2 of 3: the image is empty (0 bytes); send a whole file"),
    UnsuitableImage("the image is 40x40; its shorter side must be at least 96 pixels"),
    PalmNotFound(
        "image 1 of 1: no open hand is found (certainty 0.04, at least 0.50 is needed); show the "
        "palm to the camera with the fingers apart and the three gaps between them in view, or "
        "send capture=roi if the image is a square crop of a palm"
    ),
    PoorQuality(
        "image 1 of 3: the quality is 41 of 100, at least 50 is needed: move closer: the palm is "
        "55 px wide, 64 are needed",
        {"images.0.palm_px": "move closer: the palm is 55 px wide, 64 are needed"},
    ),
    PalmsDiffer(
        "the images do not show one palm; best scores against image 1 and images like it: "
        "image 3: 0.41 (at least 2.73 is needed); send images of one palm, all upright"
    ),
    OtherPalm(
        "the images do not show the palm of subject 'ada-left' (score 0.41, at least 2.95 is "
        "needed): send images of that palm, all upright, choose another subject_id, or send "
        "force=true if you are sure"
    ),
    TrainedFixed("p003", "be renamed"),
    HandsDiffer(_SUBJECT, "ada-right"),
    MergeUnchecked(_SUBJECT),
    ReloadRefused("they are being replaced already; wait until that has ended"),
    SameSubject(_SUBJECT),
    PalmsUnlike(_SUBJECT, "bob", 0.41, 2.95),
    NotReady("the gallery"),
    GalleryBusy(""),
    GalleryUnreachable(""),
    GalleryUnusable(""),
    AuditUnusable(),
    UploadUnkept("No space left on device"),
    UploadRefused("the service stops"),
    Overloaded(2, 2, 1),
]
_DETAILS = {KINDS[type(error)]: detail_of(error) for error in _EXAMPLES}


def reasons_of(error: Exception) -> list["FieldError"]:
    """Returns what is wrong with each component of an image's quality."""
    reasons = error.reasons.items() if isinstance(error, PoorQuality) else ()
    return [FieldError(field=name, message=reason) for name, reason in reasons]


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(
        description="The field's name, with the position of an image from 0 and the component of "
        "its quality, as images.0.sharpness.",
        examples=["images"],
    )
    message: str = Field(
        description="What is wrong with it, and what is accepted.", examples=["is required"]
    )


class Problem(BaseModel):
    """An error in the form of RFC 9457; `detail` says what was wrong and what to do."""

    type: str = Field(
        description="URI of the kind of problem; about:blank if only the status defines it.",
        examples=["urn:palm:problem:subject-unknown"],
    )
    title: str = Field(description="The kind of problem in words.", examples=["Unknown subject"])
    status: int = Field(description="The answer's HTTP status, 400 to 599.", examples=[404])
    detail: str = Field(
        description="What was wrong with this request, and what to do.",
        examples=[str(SubjectUnknown(_SUBJECT))],
    )
    instance: str = Field(
        description="The path that was requested.", examples=[f"/v1/subjects/{_SUBJECT}"]
    )
    request_id: str = Field(
        description="The X-Request-ID, which finds this request in the service's log.",
        examples=["0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071"],
    )
    errors: list[FieldError] = Field(
        default=[],
        description="The fields that were refused, or the components of the quality that are too "
        "low; empty for other problems.",
    )

    @classmethod
    def of(cls, kind: Kind, detail: str, errors: list[FieldError], **request: str) -> Self:
        """Returns a problem of this kind; `request` is its `instance` and `request_id`."""
        uri = f"urn:palm:problem:{kind.slug}" if kind.slug else "about:blank"
        fields = {"type": uri, "title": kind.title, "status": kind.status}
        return cls.model_validate({**fields, "detail": detail, "errors": errors, **request})


def describe(errors: Sequence[FieldError], further: int = 0) -> str:
    """Returns the problem's detail for fields that were refused, besides `further` others."""
    fields = [f"{item.field}: {item.message}" for item in errors]
    return "; ".join([*fields, f"and {further} more"] if further else fields)


def documented(
    *errors: type[Exception], invalid: Mapping[str, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Returns the `responses` of a route, with an example of each problem.

    Args:
        errors: keys of `KINDS` that the route may answer with, besides `UnknownHost`, with which
            every route may.
        invalid: fields that the route may refuse, each with an example of a message.
    """
    fields = [FieldError(field=field, message=text) for field, text in (invalid or {}).items()]
    kinds = [KINDS[error] for error in dict.fromkeys((*errors, UnknownHost))]
    kinds += [INVALID] if fields else []
    schema = {"$ref": "#/components/schemas/Problem"}
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        new = {"description": "", "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
        response = responses.setdefault(kind.status, new)
        examples = response["content"][MEDIA_TYPE]["examples"]
        examples[kind.slug or "plain"] = {"summary": kind.title, "value": _example(kind, fields)}
        response["description"] = " / ".join(one["summary"] for one in examples.values())
    return responses


def _example(kind: Kind, fields: list[FieldError]) -> dict[str, Any]:
    known = {KINDS[type(error)]: reasons_of(error) for error in _EXAMPLES}
    errors = fields if kind is INVALID else known[kind]
    detail = describe(fields) if kind is INVALID else _DETAILS[kind]
    instance = ""  # `document_problems` knows the path
    request_id = "0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071"
    return Problem.of(kind, detail, errors, instance=instance, request_id=request_id).model_dump()


_PATH = {
    "subject_id": _SUBJECT,
    "key_id": _KEY_ID,
    "erasure_id": _ERASURE_ID,
    "number": 412,
}  # of the examples


def document_problems(app: FastAPI) -> None:
    """Adds to the app's OpenAPI document what `documented` refers to.

    FastAPI's own way, `responses={404: {"model": Problem}}`, would document application/json.
    """
    document = app.openapi()
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for response in operation["responses"].values():
                media = response.get("content", {}).get(MEDIA_TYPE, {})
                for example in media.get("examples", {}).values():
                    example["value"]["instance"] = path.format(**_PATH)
