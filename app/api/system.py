"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter

from app.api.problems import documented
from app.api.schemas import Health, Models
from app.api.service import RecognitionDep

router = APIRouter()


@router.get("/v1/models", tags=["models"], summary="List the nets", responses=documented(503))
async def list_models(recognition: RecognitionDep) -> Models:
    """The nets that vote: what they look at, and at which similarity they accept."""
    return Models.of(recognition.ensemble)


@router.get("/health/live", tags=["health"], summary="Is the process alive?")
async def live() -> Health:
    """Answers as long as the process can answer at all; restart it when this fails."""
    return Health(status="alive")


@router.get(
    "/health/ready",
    tags=["health"],
    summary="Can it identify palms?",
    responses=documented(503),
)
def ready(recognition: RecognitionDep) -> Health:
    """Whether every net is loaded and the gallery can be used; if not, 503 says what is wrong."""
    recognition.identifier.check_gallery()
    return Health(status="ready")
