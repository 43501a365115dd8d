"""Writes to the audit log who asked a guarded route for what, and what came of it.

Nothing is changed and nothing is answered that the log does not tell: a change has a line before it
is made, which names everybody whom it is about, and one after it, every other request one before
its answer is sent.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.exceptions import HTTPException

from app.access.keys import Caller, Need
from app.api.kinds import INVALID, KINDS
from app.api.service import Broken, Service
from app.audit.log import AuditUnusable
from app.audit.pseudonyms import Pseudonyms

logger = logging.getLogger(__name__)

CHANGING: frozenset[Need] = frozenset({"enroll", "erase", "admin"})
"""Scopes of the routes that change something, unless their method is GET."""

REFUSALS = RateLimitItemPerMinute(60)
"""Most lines about refused requests of one address, or about one key's over its limit."""

_REFUSED = frozenset({401, 403, 421})  # besides 429
_MAX_ADDRESS = 64  # characters
_KEY_ID = re.compile(r"[0-9a-f]{8}")


class Refusals:
    """Bounds the lines about refused requests, with which a stranger could fill the disk."""

    def __init__(self) -> None:
        """Begins to count."""
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def may_tell(self, who: str) -> bool:
        """Tells whether a line about another refused request of a caller may be written."""
        return await self._limiter.hit(REFUSALS, who)


def note(request: Request, **outcome: str | int | None) -> None:
    """Adds to the request's line in the audit log; never an image, a template or a name."""
    _notes(request).update(outcome)


def begin(request: Request, **subjects: str) -> None:
    """Writes another first line of a change, because its body names whom it is about.

    Whoever is killed before the last line has then told it. Call it before the change is made, and
    not on the event loop.

    Args:
        request: the request.
        subjects: pseudonyms, which the last line gets, too.

    Raises:
        AuditUnusable: if the line cannot be written; then nothing must be changed.
    """
    note(request, **subjects)
    service = cast(Service, request.app.state.service)
    if not isinstance(service.audit, Broken):
        service.audit.append(_told(request, _begun(request)), durable=True)


def note_subject(request: Request, subject_id: str) -> str:
    """Adds the subject's pseudonym to the request's line in the audit log, and returns it."""
    note(request, subject=(pseudonym := pseudonym_of(request, subject_id)))
    return pseudonym


def pseudonym_of(request: Request, subject_id: str) -> str:
    """Returns the pseudonym of a subject other than the one that the request is about."""
    pseudonyms: Pseudonyms = request.app.state.pseudonyms
    return pseudonyms.of(subject_id)


async def answer_audited(
    request: Request,
    route: str,
    scope: Need,
    let_in: Callable[[], Awaitable[None]],
    handle: Callable[[Request], Awaitable[Response]],
    *,
    only_refusals: bool = False,
) -> Response:
    """Returns the answer to a request of a guarded route, once the audit log has it.

    Args:
        request: the request.
        route: the route's path, with the names of its parameters.
        scope: the scope that the route needs.
        let_in: raises if the caller is refused.
        handle: answers a caller who was let in.
        only_refusals: whether only requests that are refused have a line.

    Raises:
        AuditUnusable: if the audit log cannot be written; then nothing was changed.
    """
    event = {"method": request.method, "route": route, "scope": scope}
    request.state.event = event
    _note_parameters(request)
    is_change = scope in CHANGING and request.method != "GET"
    begun = False
    try:
        await let_in()
        if is_change:
            await _append(request, _begun(request), durable=True)
            begun = True
        answer = await handle(request)
    except AuditUnusable:
        raise
    except Exception as error:
        await _end(request, event, _status_of(error), begun=begun)
        raise
    if not only_refusals:
        await _end(request, event, answer.status_code, begun=begun)
    return answer


def audit_part(request: Request, route: str, scope: Need, **event: str | int | None) -> None:
    """Writes a line about a part of a request; blocks, so call it in a thread.

    Args:
        request: the request, whose own line is written already.
        route: see `answer_audited`.
        scope: likewise.
        event: what the line tells besides; never an image, a template or a name.

    Raises:
        AuditUnusable: if the audit log cannot be written; then the part must not be answered.
    """
    audit = cast(Service, request.app.state.service).audit
    if not isinstance(audit, Broken):
        told = {"method": request.method, "route": route, "scope": scope, **event}
        audit.append(_told(request, told), durable=False)


async def audit_refusal(request: Request, status: int) -> None:
    """Writes a line about a request that was refused before its route was looked for."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    area = "/".join(path.split("/")[:3])  # the rest may hold an id
    known = {"/".join(one.split("/")[:3]) for one in request.app.openapi()["paths"]}
    if area in known and area.startswith("/v1/"):
        try:
            await _append(request, {"route": area, "status": status}, durable=False)
        except AuditUnusable as error:
            _log_failure(request, error)


async def _end(request: Request, event: dict[str, str], status: int, *, begun: bool) -> None:
    """Writes the line that tells the outcome.

    Raises:
        AuditUnusable: if it cannot be written, unless an earlier line tells of the change.
    """
    phase = {"phase": "done"} if begun else {}
    told = {**event, **phase, "status": status, **_notes(request)}
    try:
        await _append(request, told, durable=begun)
    except AuditUnusable as error:
        if not begun:
            raise
        _log_failure(request, error)


def _begun(request: Request) -> dict[str, str | int | None]:
    """Returns what a line before a change tells."""
    return {**request.state.event, "phase": "begun", **_notes(request)}


async def _append(request: Request, event: dict[str, str | int | None], *, durable: bool) -> None:
    service = cast(Service, request.app.state.service)
    if isinstance(service.audit, Broken):
        return  # for lack of the master key: then nobody is let in
    told = _told(request, event)
    refused = event.get("status") in _REFUSED and told["caller"] == "unknown"
    if refused or event.get("status") == HTTPStatus.TOO_MANY_REQUESTS:
        refusals: Refusals = request.app.state.refusals
        who = f"{told['caller']} {told['address'] if refused else ''}"
        if not await refusals.may_tell(who):
            return
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # the service stops, and does not wait for a thread
        service.audit.append(told, durable=durable)
    else:
        await run_in_threadpool(service.audit.append, told, durable=durable)


def _told(request: Request, event: Mapping[str, str | int | None]) -> dict[str, str | int | None]:
    """Returns what a line tells: who asks, the event, and the request's id."""
    caller: Caller | None = getattr(request.state, "caller", None)
    return {
        "caller": "unknown" if caller is None else caller.key_id or "local",
        # A proxy on this machine may pass on any text.
        "address": request.client.host[:_MAX_ADDRESS] if request.client else None,
        **event,
        "request_id": request.state.request_id,
    }


def _notes(request: Request) -> dict[str, str | int | None]:
    state: dict[str, Any] = request.scope["state"]
    return state.setdefault("notes", {})


def _note_parameters(request: Request) -> None:
    """Notes whom or what the path names."""
    if (subject_id := request.path_params.get("subject_id")) is not None:
        note_subject(request, subject_id)
    if (key_id := request.path_params.get("key_id")) is not None:
        note(request, key=key_id if _KEY_ID.fullmatch(key_id) else "none of this form")


def _status_of(error: Exception) -> int:
    """Returns the status of the answer to an error; see `app.api.handlers`."""
    if isinstance(error, HTTPException):
        unkept = isinstance(error.__cause__, OSError)
        return HTTPStatus.SERVICE_UNAVAILABLE if unkept else error.status_code
    if isinstance(error, RequestValidationError):
        return INVALID.status
    known = (KINDS[cls].status for cls in type(error).__mro__ if cls in KINDS)
    return next(known, HTTPStatus.INTERNAL_SERVER_ERROR)


def _log_failure(request: Request, error: AuditUnusable) -> None:
    fields = {"request_id": request.state.request_id}
    logger.error("not in the audit log: %s", error, extra={"fields": fields})
