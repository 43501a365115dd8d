"""What `/metrics` tells of the service's present state, with or without a working gallery."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from time import perf_counter

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from app.api.service import Broken, Service
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery_state import GalleryState

COUNTED_SHARE = 0.01
"""Largest share of the time in which templates are counted: that takes long in a large gallery."""


class Gauges:
    """Tells the service's present state; safe for threads.

    Counting templates again each time would be dear, so it is done only after changes, and rarely
    if it takes long.
    """

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._counted: tuple[int, int] | None = None  # the revision, and the templates then
        self._next_at = 0.0

    def of(self, service: Service) -> Iterator[Metric]:
        """Yields the state; leaves out what cannot be read now."""
        state = _describe(service)
        yield from _parts(service, is_ready=state is not None)
        yield from _admission(service)
        yield from _nets(service)
        if state is not None:
            yield from _searched(state)
        if not isinstance(service.gallery, Broken):
            with suppress(GalleryUnusable):
                service.outage.check()
                yield from self._stored(service.gallery)

    def _stored(self, gallery: Gallery) -> list[Metric]:
        revision, erasures = gallery.revision(), gallery.count_erasures()
        return [
            _gauge("palm_gallery_revision", "Number of changes of the gallery.", revision),
            _gauge(
                "palm_gallery_templates",
                "Stored templates: one for each enrolled image and net.",
                self._count(gallery, revision),
            ),
            _gauge("palm_gallery_erasures", "Receipts of erasures.", erasures.total),
            _gauge(
                "palm_gallery_erasures_pending",
                "Receipts of erasures of which a medium is pending.",
                erasures.pending,
            ),
        ]

    def _count(self, gallery: Gallery, revision: int) -> int:
        counted, start = self._counted, perf_counter()
        if counted is None or (counted[0] != revision and start >= self._next_at):
            counted = self._counted = (revision, gallery.count_templates())
            now = perf_counter()
            self._next_at = now + (now - start) / COUNTED_SHARE
        return counted[1]


def state_for_everybody(service: Service) -> Iterator[Metric]:
    """Yields which parts work, while no API key can be checked and so nobody can be identified."""
    yield from _parts(service, is_ready=False)


def _describe(service: Service) -> GalleryState | None:
    """Describes the gallery; None if nobody can be identified."""
    if isinstance(service.identifier, Broken):
        return None
    try:
        return service.identifier.describe_gallery()
    except GalleryUnusable:
        return None


def _parts(service: Service, *, is_ready: bool) -> Iterator[Metric]:
    parts = {
        "nets": service.ensemble,
        "gallery": service.gallery,
        "identifier": service.identifier,
        "finder": service.inspector,
        "keys": service.keys,
        "audit": service.audit,
    }
    up = {name: not isinstance(part, Broken) for name, part in parts.items()}
    if not isinstance(service.audit, Broken):
        up["audit"] = not service.audit.is_failing
    yield _gauge("palm_ready", "1 if palms can be identified.", is_ready)
    yield _labelled(
        "palm_part_up",
        "1 if this part of the service works.",
        [({"part": name}, works) for name, works in up.items()],
    )
    yield _gauge(
        "palm_outage",
        "1 if the gallery's database could not be reached last time.",
        service.outage.is_on,
    )


def _admission(service: Service) -> Iterator[Metric]:
    admission = service.admission
    yield _gauge("palm_places", "Requests that may compute at the same time.", admission.places)
    yield _gauge("palm_places_busy", "Requests that compute now.", admission.busy)
    yield _gauge("palm_queue_waiting", "Requests that wait to compute.", admission.waiting)


def _nets(service: Service) -> Iterator[Metric]:
    if isinstance(service.ensemble, Broken):
        return
    keys = [net.key for net in service.ensemble.nets]
    yield _labelled(
        "palm_net_info",
        "Always 1: the nets that vote, and their versions.",
        [({"net": key.net, "version": str(key.version)}, True) for key in keys],
    )


def _searched(state: GalleryState) -> Iterator[Metric]:
    yield _gauge("palm_gallery_subjects", "Subjects that can be identified.", state.subjects)
    yield _gauge(
        "palm_gallery_subjects_without_templates",
        "Enrolled subjects that cannot be identified.",
        state.without_templates,
    )
    yield _gauge(
        "palm_gallery_mean_map_subjects",
        "Subjects that the mean map in use is the mean of.",
        state.mean_map.subjects,
    )


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=float(value))


def _labelled(
    name: str, help_text: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Metric:
    found = list(values)
    family = GaugeMetricFamily(name, help_text, labels=list(found[0][0]))
    for labels, value in found:
        family.add_metric(list(labels.values()), float(value))
    return family
