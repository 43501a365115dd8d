"""The two clients, which send what `calls` makes: one waits, the other is for asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx

from palm_vein_client.call import Call
from palm_vein_client.errors import AnswerCutShort, PalmError
from palm_vein_client.retries import Retries
from palm_vein_client.routes import Item, PageT, Routes, following
from palm_vein_client.transport import arguments, failure, options, parsed, problem, result

T = TypeVar("T")
LOCAL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0
RETRIES = Retries()


class PalmClient(Routes):
    """Calls the service and waits for its answers. Threads may share it; close it after use.

    Args:
        base_url: the service's, with the path before /v1 if a proxy adds one.
        api_key: as `python -m app keys create` showed it; None where no key is needed.
        timeout_s: seconds to wait for a connection, and for each part of an answer.
        retries: what is tried again.
        sleep: waits some seconds.
        transport: takes the place of the network, for tests.
    """

    def __init__(
        self,
        base_url: str = LOCAL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(transport=transport, **options(base_url, api_key, timeout_s))
        self._retries, self._sleep = retries, sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    def __enter__(self) -> "PalmClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _open(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        failures = 0
        while True:
            request = self._http.build_request(**arguments(call))
            try:
                response = self._http.send(request, stream=stream)
                if response.is_success:
                    return response
                response.read()
                response.close()
                error: PalmError = problem(response)
            except httpx.HTTPError as lost:
                error = failure(call, lost)
            failures += 1
            wait_s = self._retries.wait_s(failures, error, safe=call.safe)
            if wait_s is None:
                raise error
            self._sleep(wait_s)

    def send(self, call: Call[T]) -> T:
        """Sends a call of `calls` and returns its result."""
        return result(call, self._open(call, stream=False))

    def stream(self, call: Call[T]) -> Iterator[T]:
        """Sends a call and yields its answer's lines as they arrive."""
        response, seen = self._open(call, stream=True), 0
        try:
            for line in response.iter_lines():
                seen += 1
                yield parsed(call, httpx.Response(200, text=line))
        except httpx.HTTPError as lost:
            raise failure(call, lost) from None
        finally:
            response.close()
        _check_whole(call, seen)

    def items(
        self, first: Call[PageT], items_of: Callable[[PageT], Sequence[Item]]
    ) -> Iterator[Item]:
        """Yields the items of all pages."""
        call: Call[PageT] | None = first
        while call:
            page = self.send(call)
            yield from items_of(page)
            call = following(call, page)


class AsyncPalmClient(Routes):
    """The same for asyncio; `PalmClient` describes the arguments."""

    def __init__(
        self,
        base_url: str = LOCAL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = RETRIES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **options(base_url, api_key, timeout_s))
        self._retries, self._sleep = retries, sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    async def __aenter__(self) -> "AsyncPalmClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _open(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        failures = 0
        while True:
            request = self._http.build_request(**arguments(call))
            try:
                response = await self._http.send(request, stream=stream)
                if response.is_success:
                    return response
                await response.aread()
                await response.aclose()
                error: PalmError = problem(response)
            except httpx.HTTPError as lost:
                error = failure(call, lost)
            failures += 1
            wait_s = self._retries.wait_s(failures, error, safe=call.safe)
            if wait_s is None:
                raise error
            await self._sleep(wait_s)

    async def send(self, call: Call[T]) -> T:
        """Sends a call of `calls` and returns its result."""
        return result(call, await self._open(call, stream=False))

    async def stream(self, call: Call[T]) -> AsyncIterator[T]:
        """Sends a call and yields its answer's lines as they arrive."""
        response, seen = await self._open(call, stream=True), 0
        try:
            async for line in response.aiter_lines():
                seen += 1
                yield parsed(call, httpx.Response(200, text=line))
        except httpx.HTTPError as lost:
            raise failure(call, lost) from None
        finally:
            await response.aclose()
        _check_whole(call, seen)

    async def items(
        self, first: Call[PageT], items_of: Callable[[PageT], Sequence[Item]]
    ) -> AsyncIterator[Item]:
        """Yields the items of all pages."""
        call: Call[PageT] | None = first
        while call:
            page = await self.send(call)
            for item in items_of(page):
                yield item
            call = following(call, page)


def _check_whole(call: Call[Any], seen: int) -> None:
    if seen < len(call.images):
        raise AnswerCutShort(f"the answer has {seen} of {len(call.images)} lines; send the others")
