"""The parts of the service, as dependencies that FastAPI passes to the routes."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request

from app.access.key_ring import KeyRing
from app.access.keys import Caller
from app.api.admission import Admission
from app.api.errors import NotReady
from app.api.measured import note_wait
from app.audit.log import AuditLog
from app.ensemble import Ensemble
from app.gallery.gallery import Gallery
from app.gallery.outage import Outage
from app.identifier import Identifier
from app.inspection import Inspector
from app.site import SiteReport

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Broken:
    """A part of the service that could not be started.

    Attributes:
        name: the part. What is wrong with it stands in the log.
        is_retried: whether it is started as soon as what it needs can be reached.
    """

    name: str
    is_retried: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that all requests share; a request that needs a broken part gets 503.

    Attributes:
        ensemble: the nets.
        gallery: the subjects.
        identifier: the use cases.
        inspector: tells what is seen in an image; needs neither nets nor gallery.
        keys: who may do what.
        audit: who did what; broken only if the keys are.
        admission: places to compute in.
        may_explain: whether an answer may show which veins agree with a match.
        site_reports: the calibrations at the site that raised the thresholds at the start, by
            camera.
        outage: the state of the gallery's store.
    """

    ensemble: Ensemble | Broken
    gallery: Gallery | Broken
    identifier: Identifier | Broken
    inspector: Inspector | Broken
    keys: KeyRing | Broken
    audit: AuditLog | Broken
    admission: Admission
    may_explain: bool
    site_reports: Mapping[str, SiteReport]
    outage: Outage


def working(part: Part | Broken) -> Part:
    """Returns a part that was started.

    Raises:
        NotReady: if it could not be started.
    """
    if isinstance(part, Broken):
        raise NotReady(part.name, is_retried=part.is_retried)
    return part


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


ServiceDep = Annotated[Service, Depends(_service)]


async def _ensemble(service: ServiceDep) -> Ensemble:
    return working(service.ensemble)


async def _gallery(request: Request, service: ServiceDep) -> Gallery:
    """Returns the gallery as the caller of a guarded route may see it."""
    caller: Caller = request.state.caller
    service.outage.check()
    return working(service.gallery).within(caller.collections)


async def _identifier(service: ServiceDep) -> Identifier:
    return working(service.identifier)


async def _admitted_identifier(
    request: Request,
    service: ServiceDep,
    identifier: Annotated[Identifier, Depends(_identifier)],
) -> AsyncGenerator[Identifier]:
    async with service.admission.place(request) as waited_s:
        note_wait(request, waited_s)
        yield identifier


async def _inspector(service: ServiceDep) -> Inspector:
    return working(service.inspector)


async def _admitted_inspector(
    request: Request, service: ServiceDep, inspector: Annotated[Inspector, Depends(_inspector)]
) -> AsyncGenerator[Inspector]:
    async with service.admission.place(request) as waited_s:
        note_wait(request, waited_s)
        yield inspector


async def _key_ring(service: ServiceDep) -> KeyRing:
    service.outage.check()
    return working(service.keys)


EnsembleDep = Annotated[Ensemble, Depends(_ensemble)]
GalleryDep = Annotated[Gallery, Depends(_gallery)]
IdentifierDep = Annotated[Identifier, Depends(_identifier)]
KeyRingDep = Annotated[KeyRing, Depends(_key_ring)]
# The place is held while the route computes and released before the answer is sent.
AdmittedIdentifierDep = Annotated[Identifier, Depends(_admitted_identifier, scope="function")]
AdmittedInspectorDep = Annotated[Inspector, Depends(_admitted_inspector, scope="function")]
