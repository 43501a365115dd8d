"""Wires settings, gallery, nets and routes into the application: `uvicorn app.main:app`."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import ValidationError
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from app.api import identify, subjects, system
from app.api.middleware import BodyLimit, RequestLog, StartupErrors
from app.api.problems import answer_with_problems, document_problems
from app.api.service import Admission, Recognition, Service
from app.ensemble import Ensemble, NetsDisagree
from app.gallery.gallery import Gallery, GalleryUnusable
from app.gallery.sqlite import open_sqlite
from app.identifier import Identifier
from app.logs import configure_logging
from app.nets.manifest import NetUnusable
from app.nets.store import load_ensemble
from app.palm.decode import ImageLimits
from app.settings import Settings, variable
from app.validation import complaint

logger = logging.getLogger(__name__)

GALLERIES: dict[str, Callable[[str], Gallery]] = {"sqlite": open_sqlite}  # by the URL's scheme

LoadEnsemble = Callable[[Path, Sequence[str], str], Ensemble]

DESCRIPTION = """Whose palm is this, how sure are we, or is it nobody we know?

Three nets look at the veins in a near-infrared image and vote. Errors are
`application/problem+json` (RFC 9457). Images are never stored."""


def create_app(
    settings: Settings,
    *,
    load_ensemble: LoadEnsemble = load_ensemble,
) -> FastAPI:
    """The application; it opens the gallery and loads the nets when it is started."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        configure_logging(settings.log_level)
        # BLAS's own threads spin for a tenth of a second after every search, on the cores that the
        # next picture's nets need: on two cores these took twice as long.
        threadpool_limits(1, user_api="blas")
        scheme, _, _ = settings.gallery_url.partition(":")
        gallery = GALLERIES[scheme](settings.gallery_url)
        app.state.service = Service(
            gallery=gallery,
            recognition=_start_recognition(settings, gallery, load_ensemble),
            admission=Admission(settings.max_concurrent, settings.queue_timeout_s),
        )
        yield
        gallery.close()

    app = FastAPIOffline(
        title="Palm-vein identification",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,  # its page loads a logo from the internet
        lifespan=lifespan,
    )
    for router in (identify.router, subjects.router, system.router):
        app.include_router(router)
    answer_with_problems(app)
    document_problems(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_mb * 2**20)
    app.add_middleware(RequestLog)
    app.add_middleware(StartupErrors, expected=GalleryUnusable)
    return app


def _start_recognition(
    settings: Settings,
    gallery: Gallery,
    load_ensemble: LoadEnsemble,
) -> Recognition | str:
    """The nets at work; or why they are not: the service then runs, but is not ready."""
    try:
        ensemble = load_ensemble(settings.models_dir, settings.nets, settings.engine)
        gallery.seed_trained(ensemble.identities)
        identifier = Identifier(
            ensemble,
            gallery,
            image_limits=ImageLimits(max_pixels=settings.max_pixels),
            fpir_target=settings.fpir_target,
            fmr_target=settings.fmr_target,
        )
    except (NetUnusable, NetsDisagree) as error:
        logger.error("not ready: %s", error)
        return str(error)
    try:
        identifier.check_gallery()
    except GalleryUnusable as error:  # no reason to end: it is mended by deleting a subject
        logger.error("not ready: %s", error)
    return Recognition(ensemble, identifier)


def _read_settings() -> Settings:
    """The settings; or the process ends and says in one line what is wrong with which."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{variable(item['loc'][0])}: {complaint(item)}" for item in error.errors()]
        told = "; ".join(wrong) + " (.env.example says what each setting takes)"
        raise SystemExit(told) from None


app = create_app(_read_settings())
