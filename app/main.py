"""Wires settings, gallery, nets and routes into the application."""

from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import cv2
import limits
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from app import __version__
from app.api.access import Access, document_access
from app.api.admission import Admission
from app.api.audit import Refusals
from app.api.bodies import BodyLimit, CloseUnread
from app.api.gauges import Gauges
from app.api.handlers import METHODS, answer_with_problems
from app.api.measured import Measured
from app.api.metrics import Metrics
from app.api.middleware import REQUEST_ID_HEADER, HeadAsGet, RequestLog, WholeForm
from app.api.origin import OwnSite
from app.api.problems import document_problems
from app.api.routers import FORM_LIMITS, ROUTERS, UPLOADS
from app.api.service import Broken, Service, working
from app.api.tracing import NO_TELEMETRY, Tracing
from app.audit.log import AuditLog
from app.audit.pseudonyms import Pseudonyms
from app.gallery.gallery import Gallery
from app.gallery.outage import Outage
from app.guards import enforce_retention, start_audit, start_keys
from app.logs import configure_logging
from app.maintenance import calibrated_at_site
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.finder import Finder
from app.reloading import Reloader, reload_on_hangup
from app.settings import Settings, read_settings
from app.site import SiteReport
from app.starting import Parts, Repeated, follow, log_start
from app.wiring import (
    LoadEnsemble,
    make_inspector,
    open_ensemble,
    open_gallery,
    start_identifier,
)

LoadFinder = Callable[[Path, str], Finder]

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
        starter = Starter(app, settings, load_ensemble, load_finder)
        app.state.tracing.start()
        with reload_on_hangup(app.state.reloader):
            starter.start()
            yield
        app.state.reloader.close()
        starter.close()
        app.state.tracing.close()

    app = FastAPIOffline(
        title="Palm-vein identification",
        version=__version__,
        description=DESCRIPTION,
        redoc_url=None,  # its page loads a logo from the internet
        redirect_slashes=False,  # the redirect would lead to whatever host the client named
        lifespan=lifespan,
        form_limits=FORM_LIMITS,
        telemetry=NO_TELEMETRY,
    )
    app.state.pseudonyms, app.state.refusals = Pseudonyms(None), Refusals()
    app.state.metrics, app.state.gauges, app.state.tracing = Metrics(), Gauges(), Tracing()
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
    app.add_middleware(Measured)
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


class Starter:
    """Starts the service, and keeps it up with its gallery."""

    def __init__(
        self, app: FastAPI, settings: Settings, load_ensemble: LoadEnsemble, load_finder: LoadFinder
    ) -> None:
        """Starts nothing."""
        self._app = app
        self._settings = settings
        self._load_ensemble = load_ensemble
        self._load_finder = load_finder
        self._parts = Parts()
        self._outage = Outage(settings.outage_s)
        self._admission = Admission(
            settings.max_concurrent, settings.queue_length, settings.queue_timeout_s
        )
        self._following: Repeated | None = None
        self._retention: ExitStack | None = None

        app.state.reloader = Reloader(
            settings, load_ensemble, lambda: app.state.service, self._switch
        )

    def start(self) -> None:
        """Starts every part; those that cannot be reached are tried again until they can be."""
        self._start()
        if self._must_follow:
            self._following = Repeated(self._follow)

    def close(self) -> None:
        """Releases the parts."""
        if self._following is not None:
            self._following.close()  # before what it may start
        if self._retention is not None:
            self._retention.close()
        service: Service = self._app.state.service
        if not isinstance(service.identifier, Broken):
            service.identifier.close()
        if not isinstance(service.gallery, Broken):
            service.gallery.close()

    def _switch(self, service: Service) -> None:
        """Lets every further request use a service all of whose parts work."""
        self._app.state.service = service
        self._parts = Parts()  # else the former nets would stay in memory

    @property
    def _must_follow(self) -> bool:
        return self._parts.are_retried or self._settings.outage_s > 0

    def _follow(self) -> bool:
        if self._parts.are_retried:
            self._start()
        else:
            follow(self._app.state.service)
        return self._must_follow

    def _start(self) -> None:
        """Starts the parts that are not started yet. Without one the service is up, not ready."""
        start, settings, outage = self._parts.start, self._settings, self._outage
        models, engine = settings.models_dir, settings.engine
        with ThreadPoolExecutor(1) as pool:  # a large gallery takes as long as the nets
            opening = pool.submit(start, "the gallery", lambda: open_gallery(settings))
            ensemble = start("the nets", lambda: open_ensemble(settings, self._load_ensemble))
            gallery = opening.result()
        inspector = start(
            "the finder", lambda: make_inspector(settings, self._load_finder(models, engine))
        )
        audit = start("the audit log", lambda: self._start_audit(working(gallery)))
        keys = start(
            "the API keys",
            lambda: start_keys(settings, working(gallery), working(audit), outage=outage),
        )
        reports: Mapping[str, SiteReport] = {}
        calibrated = start(
            "the calibration at the site",
            lambda: calibrated_at_site(working(ensemble), working(gallery)),
        )
        if not isinstance(calibrated, Broken):
            ensemble, reports = calibrated.ensemble, calibrated.reports
        identifier = start(
            "the identifier",
            lambda: start_identifier(
                settings, working(calibrated), working(gallery), working(inspector), outage
            ),
            name="the gallery",
        )
        self._app.state.service = service = Service(
            ensemble,
            gallery,
            identifier,
            inspector,
            keys,
            audit,
            self._admission,
            settings.explain,
            reports,
            outage,
        )
        self._enforce_retention(gallery, audit)
        log_start(settings, service)

    def _enforce_retention(self, gallery: Gallery | Broken, audit: AuditLog | Broken) -> None:
        """Begins to erase those whose retention date passes, once."""
        if self._retention or isinstance(gallery, Broken) or isinstance(audit, Broken):
            return
        self._retention = ExitStack()
        self._retention.enter_context(
            enforce_retention(gallery, audit, lambda: self._app.state.service)
        )

    def _start_audit(self, gallery: Gallery) -> AuditLog:
        self._app.state.pseudonyms = Pseudonyms(gallery.secrets.pseudonyms)
        return start_audit(self._settings, gallery)
