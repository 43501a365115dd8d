"""Refuses what a browser sends on behalf of another site's page.

A page that an operator happens to open could otherwise enroll a stranger by the operator's browser,
or reach a service on the operator's own machine under a name that leads there (DNS rebinding).
"""

from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.audit import audit_refusal
from app.api.errors import CrossSite, UnknownHost
from app.api.handlers import answer_known
from app.api.middleware import guard_headers

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; the browser keeps their answers from other sites' pages."""


class OwnSite:
    """Refuses requests under unknown host names, and changes that other sites' pages ask for.

    Clients that are no browsers send neither `Sec-Fetch-Site` nor `Origin`, and pass. The checks of
    both headers are those of Go's `http.CrossOriginProtection`.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        """Wraps an application.

        Args:
            app: the application.
            hosts: names of this service, in small letters, besides localhost and every address.
            origins: origins of the pages that may use the service, such as https://example.org.
        """
        self._app = app
        self._hosts = {"localhost", *hosts}
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(guard_headers(scope))
            await send(message)

        if (error := self._refuse(scope)) is not None:
            answer = await answer_known(Request(scope), error)
            await audit_refusal(Request(scope), answer.status_code)
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> Exception | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            return UnknownHost(host)
        if scope["method"] in SAFE_METHODS:
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if origin in self._origins or site in {"same-origin", "none"}:
            return None
        if site is None and (origin is None or origin.partition("://")[2] == host):
            return None
        return CrossSite(origin or site or "")

    def _is_own(self, host: str) -> bool:
        """Tells whether a Host header names this service.

        No page can claim an address, and every browser sends a Host.
        """
        name = host.rpartition("]")[0][1:] or host.partition(":")[0]  # [::1]:8000 and a.b:8000
        with suppress(ValueError):
            return bool(ip_address(name))
        return not host or name.lower().rstrip(".") in self._hosts
