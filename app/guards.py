"""Starts what guards the gallery: the audit log and the API keys."""

import logging

from app.api.access import is_loopback
from app.audit import AuditLog, AuditUnusable
from app.gallery.gallery import Gallery
from app.gallery.outage import Outage
from app.key_ring import KeyRing
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
