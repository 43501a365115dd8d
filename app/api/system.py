"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import Guarded, guarded
from app.api.errors import NotReady
from app.api.problems import documented
from app.api.schemas import Health, Models, Readiness
from app.api.service import Broken, EnsembleDep, GalleryDep, IdentifierDep, Service, ServiceDep
from app.gallery.cameras import UNNAMED
from app.gallery.errors import GalleryUnreachable, GalleryUnusable
from app.gallery_state import GalleryState
from app.maintenance import read_reports
from app.site import SiteReport

about = APIRouter(prefix="/v1", tags=["models"], route_class=Guarded)
health = APIRouter(prefix="/health", tags=["health"])


class CameraSite(BaseModel):
    """The calibration of one named camera."""

    camera: str = Field(description="The camera, as enrolments name it.", examples=["front-door"])
    report: SiteReport = Field(description="Stated against observed false match rates.")
    used: bool = Field(description="Whether it raises the thresholds for images of this camera.")


class Site(BaseModel):
    """The calibration at the site, which only `python -m app calibrate --write` changes."""

    report: SiteReport | None = Field(
        description="Stated against observed false match rates; null if none was written."
    )
    used: bool = Field(
        description="Whether it raises the thresholds: from the next start on, and not if it was "
        "measured with other nets or thresholds."
    )
    cameras: list[CameraSite] = Field(
        description="The calibration of each named camera that has one."
    )


@about.get("/models", summary="List the nets", **guarded("metrics"))
def list_models(ensemble: EnsembleDep, service: ServiceDep) -> Models:
    """Lists the nets that vote, with their thresholds, and describes the gallery."""
    return Models.of(ensemble, _describe_gallery(service))


def _describe_gallery(service: Service) -> GalleryState | None:
    """Describes the gallery; None if it cannot be used, which /health/ready explains."""
    if isinstance(service.identifier, Broken):
        return None
    try:
        return service.identifier.describe_gallery()
    except GalleryUnusable:
        return None


@about.get("/site", summary="Show the calibration at the site", **guarded("metrics"))
def show_site(service: ServiceDep, gallery: GalleryDep) -> Site:
    """Shows the stated and observed false match rates that `python -m app calibrate` measured."""
    reports, used = read_reports(gallery), service.site_reports
    named = [
        CameraSite(camera=camera, report=report, used=report == used.get(camera))
        for camera, report in reports.items()
        if camera != UNNAMED
    ]
    report = reports.get(UNNAMED)
    is_used = report is not None and report == used.get(UNNAMED)
    return Site(report=report, used=is_used, cameras=named)


@health.get(
    "/live",
    summary="Tell whether the process is alive",
    responses=documented(),
)
async def live() -> Health:
    """Answers as long as the process can answer; restart the process when this fails."""
    return Health(status="alive")


@health.get(
    "/ready",
    summary="Tell whether palms can be identified",
    responses=documented(NotReady, GalleryUnreachable, GalleryUnusable),
)
def ready(identifier: IdentifierDep) -> Readiness:
    """Tells whether every net is loaded and the gallery can be used; if not, 503 says why.

    While PALM_OUTAGE_S lets identification go on without the database, the service is ready.
    """
    gallery = identifier.describe_gallery()
    return Readiness(
        status="ready",
        subjects=gallery.subjects,
        without_templates=gallery.without_templates,
        gallery_as_of=gallery.as_of,
    )
