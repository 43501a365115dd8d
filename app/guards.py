"""Starts what guards the gallery: the master key, the audit log and the API keys."""

import logging

from app.api.access import is_loopback
from app.audit import AuditLog, AuditUnusable
from app.gallery.gallery import Gallery
from app.keys import KeyRing
from app.master_key import read_master_key
from app.settings import Settings

logger = logging.getLogger(__name__)


def open_master_key(settings: Settings, gallery: Gallery, *, keys_kept: bool = True) -> bytes:
    """Returns the master key.

    Args:
        settings: the settings.
        gallery: holds the API keys, which are worthless without their master key.
        keys_kept: whether they are still needed, so that no other master key may be created.

    Raises:
        GalleryUnusable: if the keys cannot be read.
        MasterKeyUnusable: if the master key cannot be read or created.
    """
    given = settings.master_key.get_secret_value() if settings.master_key else None
    may_create = not (keys_kept and gallery.keys.read())
    return read_master_key(given, settings.master_key_file, may_create=may_create)


def start_audit(settings: Settings, master_key: bytes) -> AuditLog:
    """Returns the audit log, and writes to it that the service starts."""
    audit = AuditLog(settings.audit_file, master_key)
    try:
        audit.append({"caller": "service", "action": "start"}, durable=True)
    except AuditUnusable as error:  # requests get 503 until it can be written
        logger.error("not ready: %s", error)
    return audit


def start_keys(settings: Settings, gallery: Gallery, master_key: bytes, audit: AuditLog) -> KeyRing:
    """Returns the API keys; creates and prints the first one if others can reach the service."""
    ring = KeyRing(gallery.keys, master_key)
    if not is_loopback(settings.host) and not ring.list():
        with audit.change({"caller": "service", "action": "keys create first"}):
            if (first := ring.create_first()) is not None:
                # Not by the log, which is often kept for long and read by many.
                print(f"The first API key, with every scope; shown only now: {first}", flush=True)
    return ring
