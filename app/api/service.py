"""What the routes work with, as parameters that FastAPI fills in."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.problems import NotReady, Overloaded
from app.ensemble import Ensemble
from app.gallery.gallery import Gallery
from app.identifier import Identifier


class Admission:
    """Lets a few requests compute at the same time; the others wait for a while."""

    def __init__(self, max_concurrent: int, queue_timeout_s: float) -> None:
        self._places = asyncio.Semaphore(max_concurrent)
        self._max_concurrent = max_concurrent
        self._queue_timeout_s = queue_timeout_s

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Holds a place.

        Raises:
            Overloaded: if none became free in time.
        """
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded(
                f"{self._max_concurrent} requests are being computed and none finished within "
                f"{self._queue_timeout_s} s; try again"
            ) from None
        try:
            yield
        finally:
            self._places.release()


@dataclass(frozen=True, slots=True)
class Recognition:
    """The nets at work."""

    ensemble: Ensemble
    identifier: Identifier


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that outlives a request.

    Attributes:
        recognition: or, as text, why there is none.
    """

    gallery: Gallery
    recognition: Recognition | str
    admission: Admission


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


async def _recognition(service: Annotated[Service, Depends(_service)]) -> Recognition:
    if isinstance(service.recognition, str):
        raise NotReady(service.recognition)
    return service.recognition


async def _gallery(service: Annotated[Service, Depends(_service)]) -> Gallery:
    return service.gallery


async def _identifier(
    service: Annotated[Service, Depends(_service)],
    recognition: Annotated[Recognition, Depends(_recognition)],
) -> AsyncGenerator[Identifier]:
    async with service.admission.place():
        yield recognition.identifier


async def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


RecognitionDep = Annotated[Recognition, Depends(_recognition)]
GalleryDep = Annotated[Gallery, Depends(_gallery)]
# Held while the route computes and given back before its answer travels.
IdentifierDep = Annotated[Identifier, Depends(_identifier, scope="function")]
RequestIdDep = Annotated[str, Depends(_request_id)]
