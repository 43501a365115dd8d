"""Takes new nets into service while the old ones go on answering."""

import logging
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock, Thread, current_thread, main_thread
from time import perf_counter

from app.api.errors import ReloadRefused
from app.api.service import Service, working
from app.ensemble import Ensemble, NetsDisagree
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.identifier import Identifier
from app.maintenance import calibrated_at_site
from app.matching.templates import NetKey
from app.nets.files import NetUnusable
from app.settings import Settings
from app.wiring import LoadEnsemble, open_ensemble, start_identifier

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload has changed.

    Attributes:
        former: the nets that served before.
        nets: the nets that serve now.
        precision: in which they are computed.
        seconds: how long it took.
    """

    former: tuple[NetKey, ...]
    nets: tuple[NetKey, ...]
    precision: str
    seconds: float


class Reloader:
    """Replaces the nets of a running service; safe for concurrent callers.

    A request takes the service once and keeps it, so requests under way end with the former nets.
    These are released with the last such request.
    """

    def __init__(
        self,
        settings: Settings,
        load: LoadEnsemble,
        service: Callable[[], Service],
        switch: Callable[[Service], None],
    ) -> None:
        """Reloads nothing yet.

        Args:
            settings: name the models store and the nets.
            load: loads nets and checks their golden outputs.
            service: returns the service as it is now.
            switch: lets every further request use another service.
        """
        self._settings = settings
        self._load = load
        self._service = service
        self._switch = switch
        self._reloading = Lock()

    def reload(self) -> Reloaded:
        """Loads the nets of the models store beside the former ones, and then switches to them.

        Until the switch the gallery is as it was, but for trained identities that only the new
        nets know. Whatever fails leaves the former nets in service.

        Raises:
            ReloadRefused: if another call has not ended; if the nets cannot be loaded, or do not
                reproduce their golden outputs; if subjects that can be identified now could no
                longer be; or if the database searches: its coarse maps are of one set of nets.
            NotReady: if a part of the service does not work.
            GalleryUnusable: if the gallery cannot be read.
        """
        if not self._reloading.acquire(blocking=False):
            raise ReloadRefused("they are being replaced already; wait until that has ended")
        try:
            return self._reload()
        finally:
            self._reloading.release()

    def close(self) -> None:
        """Waits for a reload that is under way; none can begin afterwards."""
        self._reloading.acquire()

    def reload_logged(self) -> None:
        """Does the same for who reads the log only, and records it in the audit log."""
        try:
            with working(self._service().audit).change({"caller": "service", "action": "reload"}):
                self.reload()
        except Exception as error:  # the service goes on with the former nets
            logger.error("the nets were not reloaded: %s", error)

    def _reload(self) -> Reloaded:
        start, service = perf_counter(), self._service()
        former, identifier = working(service.ensemble), working(service.identifier)
        if self._settings.search == "pgvector":
            raise ReloadRefused("PALM_SEARCH=pgvector needs a restart for other nets")
        ensemble = self._load_nets()
        _refuse_losses(working(service.gallery), former, ensemble)
        self._switch(self._with(service, ensemble))
        _retire(identifier, self._service())
        done = Reloaded(_keys(former), _keys(ensemble), ensemble.precision, perf_counter() - start)
        told = {
            "former": [str(key) for key in done.former],
            "nets": [str(key) for key in done.nets],
        }
        logger.info("nets reloaded", extra={"fields": {**told, "precision": done.precision}})
        return done

    def _load_nets(self) -> Ensemble:
        try:
            return open_ensemble(self._settings, self._load)
        except (NetUnusable, NetsDisagree) as error:
            logger.error("the nets were not reloaded: %s", error)
            raise ReloadRefused(
                "those in the models store cannot be used; the service's log says why"
            ) from error

    def _with(self, service: Service, ensemble: Ensemble) -> Service:
        """Returns the service with other nets, which have read the gallery."""
        gallery = working(service.gallery)
        calibrated = calibrated_at_site(ensemble, gallery)
        identifier = start_identifier(
            self._settings, calibrated, gallery, working(service.inspector), service.outage
        )
        try:
            identifier.describe_gallery()
        except GalleryUnusable:
            identifier.close()
            raise
        return replace(
            service,
            ensemble=calibrated.ensemble,
            identifier=identifier,
            site_reports=calibrated.reports,
        )


def _refuse_losses(gallery: Gallery, former: Ensemble, ensemble: Ensemble) -> None:
    """Refuses nets that compare fewer of the enrolled subjects than the former ones do."""
    if set(ensemble.formats) <= set(former.formats):
        return
    lost = gallery.count_incomparable(ensemble.formats)
    lost -= gallery.count_incomparable(former.formats)
    if lost > 0:
        nets = ", ".join(str(key) for key in _keys(ensemble))
        raise ReloadRefused(
            f"{lost} enrolled subjects have no templates that {nets} can compare, and could no "
            "longer be identified; export nets of the same template_id, or restart the service "
            "with these and enroll the subjects again"
        )


def _retire(former: Identifier, service: Service) -> None:
    """Ends what the former nets do in the background; requests under way go on."""
    former.close()
    # What was erased while the new index was read.
    working(service.identifier).forget_erased()


def _keys(ensemble: Ensemble) -> tuple[NetKey, ...]:
    return tuple(net.key for net in ensemble.nets)


@contextmanager
def reload_on_hangup(reloader: Reloader) -> Generator[None]:
    """Returns a block in which SIGHUP reloads the nets.

    Not in a terminal, which sends it when it is closed and should end the service; and only in the
    main thread, the only one that may handle signals.
    """
    if current_thread() is not main_thread() or os.isatty(0):
        yield
        return

    def reload(*_: object) -> None:
        Thread(target=reloader.reload_logged, name="reload", daemon=True).start()

    former = signal.signal(signal.SIGHUP, reload)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, former)
