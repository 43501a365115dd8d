"""Wires settings, gallery, nets and routes into the application."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import limits
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from app.api import erasures, identify, inspect, keys, subjects, system
from app.api.access import Access, document_access
from app.api.audit import Refusals
from app.api.bodies import BodyLimit, CloseUnread
from app.api.errors import NotReady
from app.api.handlers import METHODS, answer_with_problems
from app.api.middleware import REQUEST_ID_HEADER, HeadAsGet, RequestLog, WholeForm
from app.api.origin import OwnSite
from app.api.problems import document_problems
from app.api.service import Admission, Broken, Service, working
from app.audit import AuditLog, AuditUnusable
from app.ensemble import Ensemble, NetsDisagree
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.postgresql import open_postgresql
from app.gallery.sqlite import open_sqlite
from app.guards import start_audit, start_keys
from app.identifier import Identifier
from app.indexes import open_index
from app.inspection import Inspector
from app.key_ring import KeyRing
from app.logs import configure_logging
from app.maintenance import calibrated_at_site
from app.master_key import MasterKeys, MasterKeyUnusable
from app.nets.files import NetUnusable
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.decode import ImageLimits
from app.palm.finder import Finder
from app.palm.reader import PalmReader
from app.pseudonyms import Pseudonyms
from app.settings import Settings, read_settings, without_password
from app.site import SiteReport

logger = logging.getLogger(__name__)

GALLERIES: dict[str, Callable[[str, MasterKeys], Gallery]] = {  # by the URL's scheme
    "postgresql": open_postgresql,
    "sqlite": open_sqlite,
}

ROUTERS = (
    identify.router,
    inspect.router,
    subjects.router,
    erasures.router,
    keys.router,
    system.about,
    system.health,
)

UPLOADS = {
    route.path
    for router in (identify.router, inspect.router)
    for route in router.routes
    if isinstance(route, APIRoute)
}
"""Paths that take forms with images."""
FORM_LIMITS = {"max_files": 32, "max_fields": 32, "max_part_size": 8 * 1024}
"""Far more than a form of ours has: a few more images or fields than allowed get a 422."""

LoadEnsemble = Callable[[Path, Sequence[str], str], Ensemble]
LoadFinder = Callable[[Path, str], Finder]
Part = TypeVar("Part")

DESCRIPTION = """Tells whose palm a near-infrared image shows, with a confidence, or that nobody
in the gallery matches.

Several nets compare the veins in the image with every subject; their scores are fused.
Errors are `application/problem+json` (RFC 9457). Images are never stored."""


def create_app(
    settings: Settings,
    *,
    load_ensemble: LoadEnsemble = load_ensemble,
    load_finder: LoadFinder = load_finder,
) -> FastAPI:
    """Creates the application; it opens the gallery and loads the nets when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        # BLAS's threads keep spinning for 0.1 s after every search. On two cores, that doubles the
        # time that the nets take for the next image.
        threadpool_limits(1, user_api="blas")
        cv2.setNumThreads(1)  # likewise; requests run side by side
        app.state.service = service = _start(app, settings, load_ensemble, load_finder)
        _log_start(settings, service)
        yield
        if not isinstance(service.identifier, Broken):
            service.identifier.close()
        if not isinstance(service.gallery, Broken):
            service.gallery.close()

    app = FastAPIOffline(
        title="Palm-vein identification",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,  # its page loads a logo from the internet
        redirect_slashes=False,  # the redirect would lead to whatever host the client named
        lifespan=lifespan,
        form_limits=FORM_LIMITS,
    )
    app.state.pseudonyms, app.state.refusals = Pseudonyms(None), Refusals()
    app.state.access = Access(
        lambda: working(app.state.service.keys),
        limits.parse(settings.rate_limit) if settings.rate_limit else None,
    )
    for router in ROUTERS:
        app.include_router(router)
    answer_with_problems(app)
    document_problems(app)
    document_access(app)
    # The last one added is the outermost.
    app.add_middleware(WholeForm)
    app.add_middleware(
        BodyLimit,
        uploads=UPLOADS,
        max_bytes=settings.max_body_mb * 2**20,
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(OwnSite, hosts=settings.allowed_hosts, origins=settings.allowed_origins)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=[REQUEST_ID_HEADER, "ETag", "Location", "Retry-After"],
        )
    app.add_middleware(CloseUnread)
    app.add_middleware(RequestLog)
    return app


def from_environment() -> FastAPI:
    """Creates the application from the environment: `uvicorn --factory app.main:from_environment`.

    Raises:
        SystemExit: if a setting is wrong; the message is one line.
    """
    try:
        settings = read_settings()
    except ValueError as error:
        raise SystemExit(str(error)) from None
    configure_logging(settings.log_level)
    return create_app(settings)


def open_gallery(settings: Settings) -> Gallery:
    """Opens the gallery of the settings.

    Raises:
        GalleryUnusable: if it cannot be opened.
        MasterKeyUnusable: if the master key cannot be read or created, or is another one.
    """
    scheme, _, _ = settings.gallery_url.partition(":")
    return GALLERIES[scheme](settings.gallery_url, master_keys(settings))


def master_keys(settings: Settings) -> MasterKeys:
    """Returns the place of the master key."""
    given = settings.master_key.get_secret_value() if settings.master_key else None
    return MasterKeys(given, settings.master_key_file)


def _start(
    app: FastAPI, settings: Settings, load_ensemble: LoadEnsemble, load_finder: LoadFinder
) -> Service:
    """Starts every part. If one cannot start, the service is up, but not ready."""
    models, engine = settings.models_dir, settings.engine
    ensemble = _attempt("the nets", lambda: load_ensemble(models, settings.nets, engine))
    gallery = _attempt("the gallery", lambda: open_gallery(settings))
    inspector = _attempt(
        "the finder", lambda: make_inspector(settings, load_finder(models, engine))
    )
    audit, ring = _start_access(app, settings, gallery)
    report: SiteReport | None = None
    calibrated = _attempt(
        "the calibration at the site",
        lambda: calibrated_at_site(working(ensemble), working(gallery)),
    )
    if not isinstance(calibrated, Broken):
        ensemble, report = calibrated
    identifier = _attempt(
        "the gallery",
        lambda: _start_identifier(
            settings, working(calibrated)[0], working(gallery), working(inspector)
        ),
    )
    admission = Admission(settings.max_concurrent, settings.queue_timeout_s)
    return Service(
        ensemble, gallery, identifier, inspector, ring, audit, admission, settings.explain, report
    )


def _start_access(
    app: FastAPI, settings: Settings, gallery: Gallery | Broken
) -> tuple[AuditLog | Broken, KeyRing | Broken]:
    """Starts what decides who may do what, and what remembers it."""
    if isinstance(gallery, Broken):
        return gallery, gallery
    app.state.pseudonyms = Pseudonyms(gallery.secrets.pseudonyms)
    audit = start_audit(settings, gallery)
    return audit, _attempt("the API keys", lambda: start_keys(settings, gallery, audit))


def _attempt(name: str, start: Callable[[], Part]) -> Part | Broken:
    """Starts one part, or logs why it cannot be started."""
    try:
        return start()
    except NotReady as error:  # of another part, which is logged already
        return Broken(error.part)
    except (NetUnusable, NetsDisagree, GalleryUnusable, MasterKeyUnusable, AuditUnusable) as error:
        logger.error("not ready: %s", error)
        return Broken(name)


def make_inspector(settings: Settings, finder: Finder) -> Inspector:
    """Returns what reads palms from images, by the settings."""
    limits = ImageLimits(
        max_bytes=settings.max_image_mb * 2**20,
        max_pixels=settings.max_pixels,
        max_jpeg_pixels=settings.max_jpeg_pixels,
    )
    reader = PalmReader(finder, limits=limits, mode=settings.capture)
    return Inspector(reader, settings.quality_enroll)


def _start_identifier(
    settings: Settings, ensemble: Ensemble, gallery: Gallery, inspector: Inspector
) -> Identifier:
    gallery.seed_trained(ensemble.identities if settings.trained else ())
    return Identifier(
        ensemble,
        gallery,
        inspector.reader,
        fpir_target=settings.fpir_target,
        fmr_target=settings.fmr_target,
        quality_enroll=settings.quality_enroll,
        quality_probe=settings.quality_probe,
        index=open_index(settings, ensemble, gallery),
    )


def _log_start(settings: Settings, service: Service) -> None:
    """Logs what is served, or which subjects in the gallery are damaged."""
    if isinstance(service.ensemble, Broken) or isinstance(service.identifier, Broken):
        return  # the reason is logged already
    try:
        state = service.identifier.describe_gallery()
    except GalleryUnusable as error:  # the service stays up: deleting those subjects helps
        logger.error("not ready: %s", error)
        return
    served = {
        "nets": [str(net.key) for net in service.ensemble.nets],
        "engine": settings.engine,
        "gallery": without_password(settings.gallery_url),
        "subjects": state.subjects,
        "without_templates": state.without_templates,
        "fpir_target": settings.fpir_target,
        "fmr_target": settings.fmr_target,
    }
    if state.without_templates:
        logger.warning(
            "subjects without templates of these nets, who cannot be identified: %d; "
            "`python -m app outdated` lists them; enroll them again with add=true",
            state.without_templates,
        )
    if state.fpir > settings.fpir_target:
        logger.warning(
            "the nets are not calibrated for %d subjects at PALM_FPIR_TARGET=%g: the false "
            "positive identification rate that can be held is %.3g",
            state.subjects,
            settings.fpir_target,
            state.fpir,
        )
    logger.info("ready", extra={"fields": served})
