"""Starts the parts of the service, and goes on trying those that cannot be reached yet."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from app.api.errors import NotReady
from app.api.service import Broken, Service, working
from app.audit.log import AuditUnusable
from app.ensemble import NetsDisagree
from app.gallery.errors import GalleryBusy, GalleryUnreachable, GalleryUnusable
from app.master_key import MasterKeyUnusable
from app.nets.files import NetUnusable
from app.settings import Settings, without_password

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""Seconds between two attempts to start; with PALM_OUTAGE_S, between two looks at the gallery."""

Part = TypeVar("Part")


class Parts:
    """The parts of one service that were started; each is started once."""

    def __init__(self) -> None:
        """Starts nothing."""
        self._known: dict[str, Any] = {}
        self._told = ""

    @property
    def are_retried(self) -> bool:
        """Whether a part could not be reached, so that the start must be tried again."""
        return any(isinstance(one, Broken) and one.is_retried for one in self._known.values())

    def start(
        self, what: str, start: Callable[[], Part], *, name: str | None = None
    ) -> Part | Broken:
        """Starts a part, or logs why it cannot be started.

        A part that was started, or that only a restart can help, is returned as it is. A gallery
        that is damaged is not tried again, because somebody may be about to replace its files.

        Args:
            what: the part, each another one.
            start: starts it.
            name: what answers call it; by default `what`.
        """
        known = self._known.get(what)
        if known is None or (isinstance(known, Broken) and known.is_retried):
            known = self._known[what] = self._attempt(name or what, start)
        return cast(Part | Broken, known)

    def _attempt(self, name: str, start: Callable[[], Part]) -> Part | Broken:
        try:
            return start()
        except NotReady as error:  # of another part, which is logged already
            return Broken(error.part, error.is_retried)
        except (GalleryUnreachable, GalleryBusy) as error:
            if str(error) != self._told:
                logger.error("not ready, and tried again by itself: %s", error)
            self._told = str(error)
            return Broken(name, is_retried=True)
        except (
            NetUnusable,
            NetsDisagree,
            GalleryUnusable,
            MasterKeyUnusable,
            AuditUnusable,
        ) as error:
            logger.error("not ready: %s", error)
            return Broken(name)


def follow(service: Service) -> None:
    """Reads what has changed in the gallery and its API keys, and so notices an outage's end."""
    if not isinstance(service.identifier, Broken) and not isinstance(service.keys, Broken):
        for refresh in (service.identifier.refresh, service.keys.refresh):
            with suppress(GalleryUnusable):  # requests say so
                refresh()


def log_start(settings: Settings, service: Service) -> None:
    """Logs what is served, or which subjects in the gallery are damaged."""
    if isinstance(service.identifier, Broken) or isinstance(service.keys, Broken):
        return  # the reason is logged already
    try:
        state = service.identifier.describe_gallery()
    except GalleryUnusable as error:  # the service stays up: deleting those subjects helps
        logger.error("not ready: %s", error)
        return
    served = {
        "nets": [str(net.key) for net in working(service.ensemble).nets],
        "engine": settings.engine,
        "precision": working(service.ensemble).precision,
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


class Repeated:
    """Repeats a step in a thread, every `RETRY_S`, until it is closed or the step is done."""

    def __init__(self, step: Callable[[], bool]) -> None:
        """Starts the thread.

        Args:
            step: returns whether to go on. What it raises is logged, and it goes on.
        """
        self._step = step
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for the step that is under way; no other one follows."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(RETRY_S):
            try:
                if not self._step():
                    return
            except Exception:  # else nothing would end an outage
                logger.exception("the gallery was not followed")
