"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter

from app.api.problems import NotReady, documented
from app.api.schemas import Health, Models
from app.api.service import EnsembleDep, IdentifierDep
from app.gallery.gallery import GalleryUnusable

router = APIRouter()


@router.get("/v1/models", tags=["models"], summary="List the nets", responses=documented(NotReady))
async def list_models(ensemble: EnsembleDep) -> Models:
    """Lists the nets that vote, with their thresholds."""
    return Models.of(ensemble)


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
def ready(identifier: IdentifierDep) -> Health:
    """Tells whether every net is loaded and the gallery can be used; if not, 503 says why."""
    identifier.count_subjects()
    return Health(status="ready")
