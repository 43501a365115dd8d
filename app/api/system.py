"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter

from app.api.problems import NotReady, documented
from app.api.schemas import Health, Models, Readiness
from app.api.service import EnsembleDep, IdentifierDep
from app.gallery.gallery import GalleryUnusable

router = APIRouter()


@router.get(
    "/v1/models",
    tags=["models"],
    summary="List the nets",
    responses=documented(NotReady, GalleryUnusable),
)
def list_models(ensemble: EnsembleDep, identifier: IdentifierDep) -> Models:
    """Lists the nets that vote, with their thresholds, and the state of the gallery."""
    return Models.of(ensemble, identifier.describe_gallery())


@router.get("/health/live", tags=["health"], summary="Tell whether the process is alive")
async def live() -> Health:
    """Answers as long as the process can answer; restart the process when this fails."""
    return Health(status="alive")


@router.get(
    "/health/ready",
    tags=["health"],
    summary="Tell whether palms can be identified",
    responses=documented(NotReady, GalleryUnusable),
)
def ready(identifier: IdentifierDep) -> Readiness:
    """Tells whether every net is loaded and the gallery can be used; if not, 503 says why."""
    gallery = identifier.describe_gallery()
    return Readiness(
        status="ready", subjects=gallery.subjects, without_templates=gallery.without_templates
    )
