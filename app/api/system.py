"""The routes about the service itself: its nets and its health."""

from fastapi import APIRouter

from app.api.problems import documented
from app.api.schemas import Health, Model, Models
from app.api.service import GalleryDep, RecognitionDep

router = APIRouter()


@router.get("/v1/models", tags=["models"], summary="List the nets", responses=documented(503))
async def list_models(recognition: RecognitionDep) -> Models:
    """The nets that vote: what they take, how they were measured, where they come from."""
    manifests = [net.manifest for net in recognition.nets]
    return Models(
        nets=[
            Model(
                net=manifest.net,
                version=manifest.version,
                created_at=manifest.created_at,
                input=manifest.input,
                embedding_size=manifest.embedding_size,
                trained_identities=len(manifest.identities),
                thresholds=list(manifest.thresholds),
                dataset=manifest.dataset,
                metrics=manifest.metrics,
                code_revision=manifest.code_revision,
            )
            for manifest in manifests
        ]
    )


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
def ready(gallery: GalleryDep, recognition: RecognitionDep) -> Health:
    """Whether every net is loaded and the gallery can be read; if not, 503 says what is wrong."""
    gallery.revision()
    return Health(status="ready")
