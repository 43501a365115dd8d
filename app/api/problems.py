"""Errors as `application/problem+json` (RFC 9457): one table maps the domain's to HTTP's."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from app.api.middleware import REQUEST_ID_HEADER
from app.gallery.gallery import GalleryUnusable, SubjectExists, SubjectUnknown
from app.identifier import TemplatesMissing
from app.palm.decode import ImageTooLarge, UnreadableImage, UnsuitableImage, UnsupportedFormat
from app.validation import complaint

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
SEND_IMAGES = "send multipart/form-data with one or more `images`, as curl -F images=@palm.png does"


class NotReady(Exception):
    """The nets are not being served; the message says why."""


class Overloaded(Exception):
    """No place became free in time."""


class UploadUnkept(Exception):
    """A large upload could not be put into a temporary file while it is read."""

    def __init__(self, why: OSError) -> None:
        super().__init__(
            f"an upload cannot be kept while it is read: {why.strerror or why}; make room in the "
            "service's folder for temporary files (TMPDIR), or send smaller images"
        )


class Kind(NamedTuple):
    """How one kind of error is answered."""

    status: int
    slug: str
    title: str
    retry_after_s: int | None = None


KINDS: Mapping[type[Exception], Kind] = {
    SubjectUnknown: Kind(404, "subject-unknown", "Unknown subject"),
    SubjectExists: Kind(409, "subject-exists", "Subject exists already"),
    TemplatesMissing: Kind(409, "templates-missing", "Subject lacks templates"),
    ImageTooLarge: Kind(413, "image-too-large", "Image too large"),
    UnsupportedFormat: Kind(415, "format-unsupported", "Image format not supported"),
    UnreadableImage: Kind(422, "image-unreadable", "Unreadable image"),
    UnsuitableImage: Kind(422, "image-unsuitable", "Unsuitable image"),
    GalleryUnusable: Kind(503, "gallery-unusable", "Gallery not usable"),
    NotReady: Kind(503, "not-ready", "Service not ready"),
    UploadUnkept: Kind(503, "upload-unkept", "No room for the upload"),
    Overloaded: Kind(503, "overloaded", "Service overloaded", retry_after_s=1),
}


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it; `detail` says what was wrong and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:palm:problem:subject-unknown",
                "title": "Unknown subject",
                "status": 404,
                "detail": "subject 'ada' is not in the gallery; enroll it first",
                "instance": "/v1/subjects/ada",
                "request_id": "0f8c4c5d1a6e4c0c9f1d2b3a4e5f6071",
                "errors": [],
            }
        }
    )

    type: str = Field(description="Names the kind of problem; the same for each of its kind.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was requested.")
    request_id: str
    errors: list[FieldError] = Field(default=[], description="The fields that were refused.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": _titles(status), "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }


def document_problems(app: FastAPI) -> None:
    """Adds to the app's OpenAPI document the schema that `documented` refers to.

    FastAPI's own way, `responses={404: {"model": Problem}}`, would call it application/json.
    """
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = problem.pop("$defs")
    app.openapi()["components"]["schemas"] |= {"Problem": problem, **definitions}


def answer_with_problems(app: FastAPI) -> None:
    """Makes every error that leaves a route, the routing or the server a problem."""
    for error in KINDS:
        app.add_exception_handler(error, _answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_known(request: Request, error: Exception) -> JSONResponse:
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s: %s", kind.title, error)
    headers = {"Retry-After": str(kind.retry_after_s)} if kind.retry_after_s else {}
    return _problem(request, kind, str(error), headers=headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # An optional field's value is refused twice, the second time for not being None.
    refused = [item for item in error.errors() if item["type"] != "none_required"]
    errors = [_field_error(item) for item in refused]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    return _problem(request, Kind(422, "request-invalid", "Invalid request"), detail, errors)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, OSError):  # FastAPI takes it for the caller's fault, a 400
        return await _answer_known(request, UploadUnkept(error.__cause__))
    kind = Kind(error.status_code, "", HTTPStatus(error.status_code).phrase)
    return _problem(request, kind, _advised(request, error), headers=error.headers)


def _advised(request: Request, error: HTTPException) -> str:
    """What the framework says, with what to do."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "there is nothing at this path; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"this path does not take {request.method}; /docs lists what it takes"
    if error.status_code == HTTPStatus.BAD_REQUEST:
        is_form = request.headers.get("content-type", "").startswith("multipart/")
        advice = SEND_IMAGES if is_form else "/docs shows what to send"
        return f"{error.detail.rstrip('.')}; {advice}"
    return error.detail


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    # The server logs the exception itself; here is what the caller may know.
    kind = Kind(500, "", "Internal Server Error")
    request_id = request.state.request_id
    detail = f"an unexpected error; the service's log has it near request {request_id}"
    return _problem(request, kind, detail, headers={REQUEST_ID_HEADER: request_id})


def _problem(
    request: Request,
    kind: Kind,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(
        type=f"urn:palm:problem:{kind.slug}" if kind.slug else "about:blank",
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=request.url.path,
        request_id=request.state.request_id,
        errors=errors or [],
    )
    return JSONResponse(problem.model_dump(), kind.status, headers, media_type=MEDIA_TYPE)


def _field_error(item: Mapping[str, Any]) -> FieldError:
    """Names the field as the caller knows it, and the value unless it is a file."""
    _, *path = item["loc"]
    if not path or item["type"] == "json_invalid":
        return FieldError(field="body", message="must be a JSON object, as application/json")
    # What follows a field's name is the position in a list, or pydantic's name of a type.
    field = ".".join(str(part) for part in path if part == path[0] or isinstance(part, int))
    message = complaint(item)
    if item["type"] == "missing":
        message = f"is required; {SEND_IMAGES}" if field == "images" else "is required"
    elif "Expected UploadFile" in message:
        message = f"must be a file, with a file name in its part of the form; {SEND_IMAGES}"
    return FieldError(field=field, message=message)


def _titles(status: int) -> str:
    titles = [kind.title for kind in KINDS.values() if kind.status == status]
    return " / ".join(titles) or HTTPStatus(status).phrase
