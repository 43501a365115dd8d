"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter

from app.answers import GalleryState
from app.api.access import Guarded, guarded
from app.api.errors import NotReady
from app.api.problems import documented
from app.api.schemas import Health, Models, Readiness, Site
from app.api.service import Broken, EnsembleDep, GalleryDep, IdentifierDep, Service, ServiceDep
from app.gallery.errors import GalleryUnreachable, GalleryUnusable
from app.maintenance import read_report

about = APIRouter(prefix="/v1", tags=["models"], route_class=Guarded)
health = APIRouter(prefix="/health", tags=["health"])


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
    report = read_report(gallery)
    return Site(report=report, used=report is not None and report == service.site_report)


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
