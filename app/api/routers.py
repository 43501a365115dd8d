"""All routes, and which of them take forms with images."""

from fastapi.routing import APIRoute

from app.api import (
    audit_log,
    batch,
    caller,
    collections,
    console,
    erasures,
    identify,
    inspect,
    keys,
    records,
    subjects,
    system,
)

ROUTERS = (
    identify.router,
    batch.router,
    inspect.router,
    subjects.router,
    collections.router,
    records.router,
    erasures.router,
    keys.router,
    audit_log.router,
    caller.router,
    system.about,
    system.metrics,
    system.health,
    console.router,
)

UPLOADS = {
    route.path
    for router in (identify.router, batch.router, inspect.router)
    for route in router.routes
    if isinstance(route, APIRoute)
}
"""Paths that take forms with images."""
FORM_LIMITS = {"max_files": 32, "max_fields": 32, "max_part_size": 8 * 1024}
"""Far more than a form of ours has: a few more images or fields than allowed get a 422."""
