"""Problems (RFC 9457): one table maps the domain's errors to HTTP and documents them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from app.api.middleware import BodyTooLarge, FormIncomplete
from app.gallery.gallery import GalleryUnusable, SubjectExists, SubjectUnknown
from app.identifier import TemplatesMissing
from app.palm.decode import ImageTooLarge, UnreadableImage, UnsuitableImage, UnsupportedFormat

MEDIA_TYPE = "application/problem+json"
_EXAMPLE_SUBJECT = "ada-left"


class NotReady(Exception):
    """A part of the service that the request needs could not be started."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; then restart the service")


class Overloaded(Exception):
    """No place to compute became free in time."""

    def __init__(self, max_concurrent: int, queue_timeout_s: float) -> None:
        super().__init__(
            f"{max_concurrent} requests are being computed and none finished within "
            f"{queue_timeout_s} s; try again"
        )


class UploadUnkept(Exception):
    """The temporary file of a large upload could not be written."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the upload's temporary file cannot be written: {reason}; make room in the "
            "service's folder for temporary files (TMPDIR), or send smaller images"
        )


class Kind(NamedTuple):
    """One kind of problem.

    Attributes:
        status: HTTP's status code.
        slug: end of the problem's type; empty for a type without further meaning than the
            status's (about:blank: RFC 9457, 4.2.1).
        title: the problem's title.
        example: a detail for the documentation.
        retry_after_s: seconds to wait before another try, if that can help.
    """

    status: int
    slug: str
    title: str
    example: str
    retry_after_s: int | None = None

    @property
    def uri(self) -> str:
        """The problem's `type`."""
        return f"urn:palm:problem:{self.slug}" if self.slug else "about:blank"


KINDS: Mapping[type[Exception], Kind] = {
    FormIncomplete: Kind(400, "", "Bad Request", FormIncomplete().detail),
    SubjectUnknown: Kind(
        404, "subject-unknown", "Unknown subject", str(SubjectUnknown(_EXAMPLE_SUBJECT))
    ),
    SubjectExists: Kind(
        409, "subject-exists", "Subject exists already", str(SubjectExists(_EXAMPLE_SUBJECT))
    ),
    TemplatesMissing: Kind(
        409, "templates-missing", "Subject lacks templates", str(TemplatesMissing(_EXAMPLE_SUBJECT))
    ),
    BodyTooLarge: Kind(413, "", HTTPStatus(413).phrase, BodyTooLarge(32 * 2**20).detail),
    ImageTooLarge: Kind(
        413,
        "image-too-large",
        "Image too large",
        "image 1 of 1: the image has 8000x6000 = 48000000 pixels, more than 25000000; send a "
        "smaller one",
    ),
    UnsupportedFormat: Kind(
        415,
        "format-unsupported",
        "Image format not supported",
        "image 1 of 1: PDF is not accepted; send PNG, JPEG, BMP, TIFF, WEBP",
    ),
    RequestValidationError: Kind(422, "request-invalid", "Invalid request", ""),
    UnreadableImage: Kind(
        422,
        "image-unreadable",
        "Unreadable image",
        "image 2 of 3: the image is empty (0 bytes); send a whole file",
    ),
    UnsuitableImage: Kind(
        422,
        "image-unsuitable",
        "Unsuitable image",
        "image 1 of 1: the image is 40x40; its shorter side must be at least 96 pixels",
    ),
    GalleryUnusable: Kind(
        503,
        "gallery-unusable",
        "Gallery not usable",
        "gallery sqlite:////data/gallery.db failed: database is locked; check that it can be "
        "written, that no other program locks it and that the disk has room",
    ),
    NotReady: Kind(
        503,
        "not-ready",
        "Service not ready",
        str(
            NotReady(
                "models_store/vgg16/8/golden.npz cannot be read (No such file or directory): "
                "restore the whole version folder, or export the net again"
            )
        ),
    ),
    UploadUnkept: Kind(
        503, "upload-unkept", "No room for the upload", str(UploadUnkept("No space left on device"))
    ),
    Overloaded: Kind(
        503, "overloaded", "Service overloaded", str(Overloaded(2, 5.0)), retry_after_s=1
    ),
}


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="The field's name.", examples=["images"])
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
        examples=[KINDS[SubjectUnknown].example],
    )
    instance: str = Field(
        description="The path that was requested.", examples=[f"/v1/subjects/{_EXAMPLE_SUBJECT}"]
    )
    request_id: str = Field(
        description="The X-Request-ID, which finds this request in the service's log.",
        examples=["0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071"],
    )
    errors: list[FieldError] = Field(
        default=[], description="The fields that were refused; empty for other problems."
    )


def describe(errors: Sequence[FieldError]) -> str:
    """Returns the problem's detail for fields that were refused."""
    return "; ".join(f"{item.field}: {item.message}" for item in errors)


def documented(
    *errors: type[Exception], invalid: Mapping[str, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Returns the `responses` of a route, with an example of each problem.

    Args:
        errors: keys of `KINDS` that the route may answer with.
        invalid: fields that the route may refuse, each with an example of a message.
    """
    answered = [(KINDS[error], _example(KINDS[error])) for error in errors]
    if invalid:
        kind = KINDS[RequestValidationError]
        answered.append((kind, _example(kind, invalid)))
    schema = {"$ref": "#/components/schemas/Problem"}
    responses: dict[int | str, dict[str, Any]] = {}
    for kind, example in sorted(answered, key=lambda answer: answer[0].status):
        new = {"description": "", "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
        response = responses.setdefault(kind.status, new)
        examples = response["content"][MEDIA_TYPE]["examples"]
        examples[kind.slug or "plain"] = {"summary": kind.title, "value": example}
        response["description"] = " / ".join(one["summary"] for one in examples.values())
    return responses


def _example(kind: Kind, invalid: Mapping[str, str] | None = None) -> dict[str, Any]:
    fields = [FieldError(field=field, message=text) for field, text in (invalid or {}).items()]
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=kind.example or describe(fields),
        instance="",  # `document_problems` knows the path
        request_id="0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071",
        errors=fields,
    ).model_dump()


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
                    example["value"]["instance"] = path.format(subject_id=_EXAMPLE_SUBJECT)
