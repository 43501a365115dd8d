"""Lets in only callers whose API key has the scope that a route needs.

The check comes before the body is read, so that a stranger cannot make the service read one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from math import ceil
from time import time
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.access.key_ring import KeyRing
from app.access.keys import Caller, KeyMissing, KeyRefused, Need, Scope, ScopeMissing
from app.api.audit import answer_audited
from app.api.errors import NotReady, TooManyRequests
from app.api.problems import documented
from app.api.service import Service
from app.audit.log import AuditUnusable
from app.gallery.errors import GalleryBusy, GalleryUnreachable, GalleryUnusable

SECURITY = "api-key"
"""Name of the security scheme in the OpenAPI document."""

SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key from `python -m app keys create`. Not needed on the service's own "
    "machine while there is no key.",
}

_PROBLEMS = (
    KeyMissing,
    KeyRefused,
    ScopeMissing,
    TooManyRequests,
    NotReady,
    GalleryBusy,
    GalleryUnreachable,
    GalleryUnusable,
    AuditUnusable,
)


def guarded(
    scope: Need,
    *errors: type[Exception],
    invalid: Mapping[str, str] | None = None,
    empty: str | None = None,
) -> dict[str, Any]:
    """Returns options of a `Guarded` route: the scope that it needs, and its problems.

    Args:
        scope: what a caller's key must have; "any" if it need only work.
        errors: see `documented`; those of `Access.let_in` are added.
        invalid: see `documented`.
        empty: what 204 means, if the route may answer with it.
    """
    no_content = {} if empty is None else {HTTPStatus.NO_CONTENT: {"description": empty}}
    return {
        "openapi_extra": {"security": [{SECURITY: [scope]}]},
        "responses": {**no_content, **documented(*errors, *_PROBLEMS, invalid=invalid)},
    }


def document_access(app: FastAPI) -> None:
    """Adds to the app's OpenAPI document what `guarded` refers to: Swagger UI asks for a key."""
    app.openapi()["components"]["securitySchemes"] = {SECURITY: SCHEME}


def scope_of(route: APIRoute) -> Need | None:
    """Returns the scope that a route needs; None if it needs no key."""
    extra = route.openapi_extra or {}
    return extra["security"][0][SECURITY][0] if "security" in extra else None


class Guarded(APIRoute):
    """A route for callers with a scope, made with the options that `guarded` returns."""

    only_refusals = False
    """Whether only requests that are refused are audited."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the route's handler, which first lets the caller in, and is audited."""
        handle = super().get_route_handler()
        scope = scope_of(self)
        if scope is None:
            raise ValueError(f"{self.path} names no scope; give it the options of `guarded`")

        async def handle_guarded(request: Request) -> Response:
            return await answer_audited(
                request,
                self.path,
                scope,
                lambda: self.let_in(request, scope),
                handle,
                only_refusals=self.only_refusals,
            )

        return handle_guarded

    async def let_in(self, request: Request, scope: Need) -> None:
        """Raises an error if the request must not go on."""
        access: Access = request.app.state.access
        await access.let_in(request, scope)


class Scraped(Guarded):
    """A route that a monitor asks again and again; of these requests only refusals are audited.

    While nobody's key can be checked, it answers without a caller, what everybody may know: else
    the monitor would learn nothing when it matters most.
    """

    only_refusals = True

    async def let_in(self, request: Request, scope: Need) -> None:
        """Likewise, but for what hinders the check itself."""
        with suppress(NotReady, GalleryUnusable):
            await super().let_in(request, scope)


class Computing(Guarded):
    """A guarded route whose requests take a place to compute in.

    An overload is refused before the body is read: to parse one takes longer than to refuse it.
    """

    async def let_in(self, request: Request, scope: Need) -> None:
        """Likewise; an overload is such an error."""
        await super().let_in(request, scope)
        cast(Service, request.app.state.service).admission.refuse_overload()


class Access:
    """Tells who a caller is and whether it may go on."""

    def __init__(self, ring: Callable[[], KeyRing], limit: RateLimitItem | None) -> None:
        """Creates the check.

        Args:
            ring: returns the keys; may raise an error that is answered with 503.
            limit: how many requests each key, or each address without one that works, may send;
                None is any number.
        """
        self._ring = ring
        self._limit = limit
        # The library's other storage starts a thread for every hit but the next 10 ms'.
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._refreshing = asyncio.Lock()  # else all that wait would take a thread each

    async def let_in(self, request: Request, scope: Need) -> Caller:
        """Returns the caller of a request that needs a scope; `caller_of` returns it from then on.

        Raises:
            KeyMissing: if a key is needed and none was sent.
            KeyRefused: if the key is unknown or has expired.
            ScopeMissing: if the key lacks the scope.
            TooManyRequests: if the caller sends more than it may.
            GalleryUnusable: if the keys cannot be read.
        """
        address = request.client.host if request.client else ""
        ring = self._ring()
        if ring.is_stale:
            async with self._refreshing:
                if ring.is_stale:
                    await run_in_threadpool(ring.refresh)
        try:
            caller = ring.caller(_token(request), is_local=_is_local(request))
        except (KeyMissing, KeyRefused):
            await self._count("address", address)
            raise
        request.state.caller = caller
        await self.count(request)
        if scope != "any":
            require(caller, scope)
        return caller

    async def count(self, request: Request, number: int = 1) -> None:
        """Counts requests of a caller who was let in.

        Raises:
            TooManyRequests: if they are more than it may send.
        """
        caller, address = caller_of(request), request.client.host if request.client else ""
        who = ("key", caller.key_id) if caller.key_id else ("address", address)
        await self._count(*who, number=number)

    async def _count(self, *who: str, number: int = 1) -> None:
        if self._limit and number and not await self._limiter.hit(self._limit, *who, cost=number):
            reset_at = (await self._limiter.get_window_stats(self._limit, *who)).reset_time
            raise TooManyRequests(str(self._limit), max(ceil(reset_at - time()), 1))


def caller_of(request: Request) -> Caller:
    """Returns the caller of a `Guarded` route's request."""
    return request.state.caller


def require(caller: Caller, scope: Scope) -> None:
    """Checks that a caller has a scope.

    Raises:
        ScopeMissing: if it does not.
    """
    if scope not in caller.scopes:
        raise ScopeMissing(scope)


def _token(request: Request) -> str | None:
    """Returns the key that was sent; None if none was."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_local(request: Request) -> bool:
    """Tells whether a request comes from this machine, and not by a proxy under another name."""
    client = request.client.host if request.client else ""
    return is_loopback(client) and is_loopback(request.url.hostname or "")


def is_loopback(host: str) -> bool:
    """Tells whether an address, or localhost, means this machine."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower().rstrip(".") == "localhost"
