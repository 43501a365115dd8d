"""Starts what guards the gallery: the audit log, the API keys, and the end of retention."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from app.access.key_ring import KeyRing
from app.api.access import is_loopback
from app.api.service import Broken, Service
from app.audit.log import AuditLog, AuditUnusable
from app.gallery.gallery import Gallery
from app.gallery.outage import Outage
from app.retention import RetentionTask
from app.settings import Settings

logger = logging.getLogger(__name__)


def start_audit(settings: Settings, gallery: Gallery) -> AuditLog:
    """Returns the audit log, and writes to it that the service starts."""
    audit = AuditLog(settings.audit_file, gallery.secrets.audit)
    try:
        audit.append({"caller": "service", "action": "start"}, durable=True)
    except AuditUnusable as error:  # requests get 503 until it can be written
        logger.error("not ready: %s", error)
    return audit


def start_keys(settings: Settings, gallery: Gallery, audit: AuditLog, *, outage: Outage) -> KeyRing:
    """Returns the API keys; creates and prints the first one if others can reach the service."""
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys, outage=outage)
    if not is_loopback(settings.host) and not ring.list():
        with audit.change({"caller": "service", "action": "keys create first"}):
            if (first := ring.create_first()) is not None:
                # Not by the log, which is often kept for long and read by many.
                print(f"The first API key, with every scope; shown only now: {first}", flush=True)
    return ring


def enforce_retention(
    gallery: Gallery, audit: AuditLog, service: Callable[[], Service]
) -> AbstractContextManager[None]:
    """Returns a block in which subjects are erased when their retention date passes.

    Args:
        gallery: the subjects.
        audit: the audit log.
        service: returns the service as it is now.
    """

    def forget() -> None:
        identifier = service().identifier
        if not isinstance(identifier, Broken):  # else nothing is in memory
            identifier.forget_erased()

    return RetentionTask(gallery, audit, forget).running()
