"""The routes about the service itself: its nets, its metrics and its health."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from app.api.access import Guarded, Scraped, guarded
from app.api.errors import CrossSite, NotReady, ReloadRefused
from app.api.gauges import Gauges, state_for_everybody
from app.api.metrics import as_text, metrics_of
from app.api.problems import documented
from app.api.schemas import Health, Models, Readiness
from app.api.service import Broken, EnsembleDep, GalleryDep, IdentifierDep, Service, ServiceDep
from app.gallery.errors import GalleryUnreachable, GalleryUnusable
from app.gallery.index.cameras import UNNAMED
from app.gallery_state import GalleryState
from app.maintenance import read_reports
from app.reloading import Reloader
from app.site import SiteReport

about = APIRouter(prefix="/v1", tags=["models"], route_class=Guarded)
metrics = APIRouter(tags=["metrics"], route_class=Scraped)
health = APIRouter(prefix="/health", tags=["health"])


class CameraSite(BaseModel):
    """The calibration of one named camera."""

    camera: str = Field(description="The camera, as enrolments name it.", examples=["front-door"])
    report: SiteReport = Field(description="Stated against observed false match rates.")
    used: bool = Field(description="Whether it raises the thresholds for images of this camera.")


class Reload(BaseModel):
    """What a reload has changed."""

    former: list[str] = Field(
        description="The nets that served before, with their versions.", examples=[["vgg16/12"]]
    )
    nets: list[str] = Field(
        description="The nets that serve now, which may be the same.", examples=[["vgg16/13"]]
    )
    precision: str = Field(
        description="In which they are computed: f32, bf16 or int8.", examples=["int8"]
    )
    seconds: float = Field(ge=0, description="Duration, 0 s or more.", examples=[1.9])


class Site(BaseModel):
    """The calibration at the site, which only `python -m app calibrate --write` changes."""

    report: SiteReport | None = Field(
        description="Stated against observed false match rates; null if none was written."
    )
    used: bool = Field(
        description="Whether it raises the thresholds: from the next start or reload on, and not "
        "if it was measured with other nets or thresholds."
    )
    cameras: list[CameraSite] = Field(
        description="The calibration of each named camera that has one."
    )


@about.get("/models", summary="List the nets", **guarded("metrics"))
def list_models(ensemble: EnsembleDep, service: ServiceDep) -> Models:
    """Lists the nets that vote, with their thresholds, and describes the gallery."""
    gallery = _describe_gallery(service)
    if gallery is None or isinstance(service.identifier, Broken):
        return Models.of(ensemble, None, [])
    return Models.of(ensemble, gallery, service.identifier.describe_thresholds())


def _describe_gallery(service: Service) -> GalleryState | None:
    """Describes the gallery; None if it cannot be used, which /health/ready explains."""
    if isinstance(service.identifier, Broken):
        return None
    try:
        return service.identifier.describe_gallery()
    except GalleryUnusable:
        return None


@about.post(
    "/models/reload",
    summary="Take new nets into service",
    **guarded("admin", CrossSite, ReloadRefused),
)
def reload_models(request: Request) -> Reload:
    """Loads the nets of the models store beside those in service, and switches to them.

    The nets must reproduce their golden outputs. Requests go on being answered meanwhile, and end
    with the nets that they began with; whatever fails leaves the former nets in service. Only the
    process that answers is reloaded.
    """
    reloader: Reloader = request.app.state.reloader
    done = reloader.reload()
    former, nets = [str(key) for key in done.former], [str(key) for key in done.nets]
    return Reload(former=former, nets=nets, precision=done.precision, seconds=done.seconds)


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


@metrics.get(
    "/metrics",
    summary="Show the metrics",
    response_class=PlainTextResponse,
    **guarded("metrics"),
)
def show_metrics(request: Request, service: ServiceDep) -> Response:
    """Shows counts, durations and the present state in Prometheus' text format.

    While no API key can be checked, everybody gets the metrics that tell which part does not work,
    and nothing else.
    """
    gauges: Gauges = request.app.state.gauges
    is_let_in = hasattr(request.state, "caller")
    shown = (
        [*metrics_of(request).collect(), *gauges.of(service)]
        if is_let_in
        else state_for_everybody(service)
    )
    return Response(
        as_text(shown),
        media_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


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
