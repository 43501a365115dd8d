"""Places to compute in: a few requests compute at a time, a few wait, all others are refused."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import ceil
from time import monotonic

from fastapi import Request
from starlette.exceptions import HTTPException

from app.api.errors import Overloaded

WEIGHT = 0.1
"""Share of the newest request in the mean time for which a place is held."""


class ClientGone(HTTPException):
    """The client disconnected while it waited; nobody reads this answer, but the log."""

    def __init__(self) -> None:
        super().__init__(400, "the client disconnected before its request was computed")


class Admission:
    """Lets a few requests compute at the same time; a few others wait, first come, first served.

    Attributes:
        places: how many requests may compute at the same time.
        batch_places: how many of the places batches may hold, all together: all but one, or the
            only one, so that they keep nobody else out.
    """

    def __init__(self, places: int, queue_length: int, queue_timeout_s: float) -> None:
        """Creates the places; all are free.

        Args:
            places: requests that compute at the same time.
            queue_length: most requests that wait.
            queue_timeout_s: longest wait in seconds.
        """
        self.places = places
        self.batch_places = max(places - 1, 1)
        self._free = asyncio.Semaphore(places)
        self._for_batches = asyncio.Semaphore(self.batch_places)
        self._queue_length = queue_length
        self._queue_timeout_s = queue_timeout_s
        self._busy = self._queued = self._of_batches = 0
        self._held_s = 0.0  # for which a request holds a place, on average

    @property
    def busy(self) -> int:
        """Number of places that are held."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Number of requests, and palms of batches, that wait for a place."""
        return self._queued + self._of_batches

    def refuse_overload(self) -> None:
        """Refuses a request that would wait too long; call it before its body is read.

        A request that arrives while W others wait for one of P places gets the (W+1)th place that
        becomes free. One becomes free every T/P seconds, if each is held for T.

        Raises:
            Overloaded: if as many wait as may, or the wait would be longer than it may be.
        """
        if not self._free.locked():
            return
        wait_s = self._held_s * (self.waiting + 1) / self.places
        if self._queued >= self._queue_length or wait_s > self._queue_timeout_s:
            raise Overloaded(self.places, self.waiting, max(ceil(wait_s), 1))

    @asynccontextmanager
    async def place(self, request: Request) -> AsyncGenerator[float]:
        """Waits for a place and holds it.

        Yields:
            How long it waited, in seconds.

        Raises:
            Overloaded: see `refuse_overload`; also if no place became free in time.
            ClientGone: if the client disconnected meanwhile.
        """
        self.refuse_overload()
        since = monotonic()
        self._queued += 1
        try:
            await self._acquire(request)
        finally:
            self._queued -= 1
        waited_s = monotonic() - since
        async with self._held():
            yield waited_s

    @asynccontextmanager
    async def place_in_batch(self) -> AsyncGenerator[None]:
        """Waits for a place for one palm of a batch, however long it takes, and holds it."""
        async with self._for_batches:
            self._of_batches += 1
            try:
                await self._free.acquire()
            finally:
                self._of_batches -= 1
            async with self._held():
                yield

    @asynccontextmanager
    async def _held(self) -> AsyncGenerator[None]:
        """Holds a place that was acquired, and measures for how long."""
        self._busy += 1
        since = monotonic()
        try:
            yield
        finally:
            self._held_s += WEIGHT * (monotonic() - since - self._held_s)
            self._busy -= 1
            self._free.release()

    async def _acquire(self, request: Request) -> None:
        if not self._free.locked():
            await self._free.acquire()  # at once
        else:
            await self._wait(request)
        try:
            # A body that no form parser wanted is not whole: its request is about to be refused.
            body = getattr(request.state, "body", None)
            if (body is None or body.is_whole) and await request.is_disconnected():
                raise ClientGone
        except BaseException:
            self._free.release()
            raise

    async def _wait(self, request: Request) -> None:
        gone = False
        try:
            async with asyncio.timeout(self._queue_timeout_s) as patience:

                async def leave() -> None:
                    nonlocal gone
                    while (await request.receive())["type"] != "http.disconnect":
                        pass
                    gone = True
                    patience.reschedule(0)  # in the past: the wait ends now

                watcher = asyncio.create_task(leave())
                try:
                    await self._free.acquire()
                finally:
                    watcher.cancel()
        except TimeoutError:
            if gone:
                raise ClientGone from None
            raise Overloaded(self.places, self.waiting, max(ceil(self._held_s), 1)) from None
