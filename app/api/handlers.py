"""Handlers that answer every error with a problem, `application/problem+json`."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from app.api import kinds, problems
from app.api.errors import NotReady, UploadUnkept
from app.api.kinds import Kind
from app.api.metrics import metrics_of
from app.api.middleware import REQUEST_ID_HEADER, SEND_IMAGES, guard_headers
from app.api.problems import FieldError, Problem
from app.palm.errors import PoorQuality
from app.validation import MAX_ERRORS, complaint, shorten

logger = logging.getLogger(__name__)


_NO_OBJECT = FieldError(
    field="body", message="must be a JSON object, sent as application/json in UTF-8"
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def answer_with_problems(app: FastAPI) -> None:
    """Registers handlers that turn every error of the app into a problem."""
    for error in kinds.KINDS:
        app.add_exception_handler(error, answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


async def answer_known(request: Request, error: Exception) -> JSONResponse:
    """Answers an error whose class, or a base of it, is a key of `app.api.kinds.KINDS`."""
    return _answer(problem_of(request, error), kinds.headers_of(error))


def problem_of(request: Request, error: Exception) -> Problem:
    """Returns the problem that an error of a request is; logs those that are not the caller's."""
    kind = next((kinds.KINDS[cls] for cls in type(error).__mro__ if cls in kinds.KINDS), None)
    fields = {"request_id": request.state.request_id}
    if kind is None:
        logger.error("an unexpected error", exc_info=error, extra={"fields": fields})
        return _problem(request, kinds.plain(500), _unexpected(request))
    # The reason for not being ready was logged at the start.
    is_logged = isinstance(error, NotReady) or getattr(error, "is_logged", False)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not is_logged:
        logger.warning("%s: %s", kind.title, error, extra={"fields": fields})
    if isinstance(error, PoorQuality):
        metrics_of(request).count_quality(error)
    return _problem(request, kind, kinds.detail_of(error), problems.reasons_of(error))


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # An optional field's value is refused twice, the second time for not being None.
    refused = [item for item in error.errors() if item["type"] != "none_required"]
    errors = [_field_error(item) for item in refused[:MAX_ERRORS]]
    detail = problems.describe(errors, further=len(refused) - len(errors))
    return _answer(_problem(request, kinds.INVALID, detail, errors))


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    """Answers an error of the framework."""
    assert isinstance(error, HTTPException)
    if isinstance(cause := error.__cause__, OSError):  # FastAPI makes it a 400
        return await answer_known(request, UploadUnkept(cause.strerror or str(cause)))
    if isinstance(
        cause, UnicodeDecodeError | RecursionError
    ):  # of a body that is no JSON, likewise
        detail = problems.describe([_NO_OBJECT])
        return _answer(_problem(request, kinds.INVALID, detail, [_NO_OBJECT]))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    kind = kinds.plain(error.status_code)
    return _answer(_problem(request, kind, _advised(request, error)), headers)


def _allowed_methods(request: Request) -> list[str]:
    """Returns the methods that the request's path accepts, over all its routes."""
    # A mount, of static files, matches every method.
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]

    def is_taken(method: str) -> bool:
        # HEAD is answered as GET.
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [method for method in METHODS if is_taken(method)] or ["GET", "HEAD"]


def _advised(request: Request, error: HTTPException) -> str:
    """Returns the framework's message, and what to do."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "nothing exists at this path; /docs lists all paths"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"this path does not accept {request.method}; /docs lists the methods of every path"
    if error.status_code == HTTPStatus.BAD_REQUEST:
        is_form = request.headers.get("content-type", "").startswith("multipart/")
        advice = SEND_IMAGES if is_form else "/docs shows what to send"
        return f"{error.detail.rstrip('.')}; {advice}"
    return error.detail


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    # The server logs the exception; the caller learns nothing of it.
    # Starlette sends this answer from outside all middleware.
    own = {REQUEST_ID_HEADER: request.state.request_id, "Connection": "close"}
    headers = {**own, **guard_headers(request.scope)}
    return _answer(_problem(request, kinds.plain(500), _unexpected(request)), headers)


def _unexpected(request: Request) -> str:
    request_id = request.state.request_id
    return f"an unexpected error; look for request {request_id} in the service's log"


def _problem(
    request: Request, kind: Kind, detail: str, errors: list[FieldError] | None = None
) -> Problem:
    path, request_id = request.url.path, request.state.request_id
    request.state.problem = kind.slug
    return Problem.of(kind, detail, errors or [], instance=path, request_id=request_id)


def _answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(), problem.status, headers, media_type=problems.MEDIA_TYPE
    )


def _field_error(item: Mapping[str, Any]) -> FieldError:
    """Returns the caller's name of the field, and a message that quotes no file."""
    _, *path = item["loc"]
    if item["type"] == "no_field":
        return FieldError(field="body", message=str(item["msg"]))
    if not path or item["type"] == "json_invalid":
        return _NO_OBJECT
    # What follows a field's name is the position in a list, or pydantic's name of a type.
    field = ".".join(str(part) for part in path if part == path[0] or isinstance(part, int))
    field = shorten(field)
    message = complaint(item)
    if item["type"] == "missing":
        message = f"is required; {SEND_IMAGES}" if field == "images" else "is required"
    elif item["type"] == "unknown_field":
        message = str(item["msg"])  # without the value
    elif "Expected UploadFile" in message:
        message = f"must be a file, with a file name in its part of the form; {SEND_IMAGES}"
    return FieldError(field=field, message=message)
