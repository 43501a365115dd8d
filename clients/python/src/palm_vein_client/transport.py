"""From a call to an HTTP request, and from an HTTP response to a result or an exception."""

import json
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from palm_vein_client.call import Call
from palm_vein_client.errors import AnswerInvalid, ConnectionFailed, PalmError, ProblemError
from palm_vein_client.retries import retry_after_s

T = TypeVar("T")


def options(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Returns the settings of an httpx client.

    Raises:
        ValueError: if the key cannot be sent, which the message does not show, or the URL is none.
    """
    headers = {"User-Agent": "palm-vein-client"}
    if api_key:
        if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
            raise ValueError("the API key has characters that no key has; look for line ends")
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"the service's URL {base_url!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(
            f"the service's URL {base_url!r} must be like http://127.0.0.1:8000 or https://HOST"
        )
    # Redirects are not followed: a key is for one service.
    return {"base_url": base_url, "headers": headers, "timeout": timeout_s}


def arguments(call: Call[T]) -> dict[str, Any]:
    """Returns the arguments of httpx' `build_request`."""
    more: dict[str, Any] = {}
    if call.images:
        # A file's own name may name a person.
        more["files"] = [("images", ("image", image)) for image in call.images]
        more["data"] = dict(call.form)
    if call.body is not None:
        more["json"] = dict(call.body)
    more["params"] = dict(call.query)
    return {"method": call.method, "url": call.path, "headers": dict(call.headers), **more}


def result(call: Call[T], response: httpx.Response) -> T:
    """Returns what a complete response holds.

    Raises:
        ProblemError: if the service refused.
        AnswerInvalid: if it is no answer of the service.
    """
    if not response.is_success:
        raise problem(response)
    return parsed(call, response)


def parsed(call: Call[T], response: httpx.Response) -> T:
    """Returns the result; see `result`."""
    try:
        return call.parse(response)
    except ValidationError as error:  # its message holds what was sent
        where = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:3])
        raise AnswerInvalid(
            f"the answer to {call.method} {call.path} is not as expected ({where or 'no JSON'}): "
            "is this URL the service's, and this client of its release?"
        ) from None


def problem(response: httpx.Response) -> PalmError:
    """Returns the exception for an answer that is an error, whose body is read."""
    after_s = retry_after_s(response.headers.get("Retry-After"))
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict) and "title" in body:
        return ProblemError.of(body, response.status_code, after_s)  # pyright: ignore[reportUnknownArgumentType]
    title = f"{response.status_code} {response.reason_phrase}".strip()
    detail = f"{title}, which does not come from the service itself: look at its URL and at proxies"
    return ProblemError.of({"title": title, "detail": detail}, response.status_code, after_s)


def failure(call: Call[T], error: httpx.HTTPError) -> ConnectionFailed:
    """Returns the exception for a request without an answer."""
    late = isinstance(error, httpx.TimeoutException)
    reason = "no answer in time" if late else str(error) or type(error).__name__
    url = error.request.url.copy_with(query=None, userinfo=b"")
    return ConnectionFailed(f"{call.method} {url}: {reason}")
