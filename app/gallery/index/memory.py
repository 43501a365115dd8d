"""The index of the gallery in memory: it follows every change and finds whose palm a probe is."""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from app.ensemble import Net
from app.gallery.collection import Within
from app.gallery.errors import GalleryUnreachable, GalleryUnusable, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.comparison import Found, choose_proposer, locate, search, search_all
from app.gallery.index.enrolled import next_means
from app.gallery.index.searching import Forgotten, MeanMapState
from app.gallery.index.table import Table
from app.gallery.index.view import IndexState, View
from app.gallery.outage import Moment, Outage
from app.gallery.subject import Subject
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps

logger = logging.getLogger(__name__)


class GalleryIndex:
    """Keeps every template in memory, in the form in which it is compared.

    Safe for concurrent callers. A change by any process is seen by the next call; only what has
    changed is read. Every method that reads raises `GalleryUnusable` if the gallery cannot be
    read, or if a template in it is damaged. The latter until the subjects that the message names
    are deleted; no restart is needed. While the store cannot be reached, searches may go on with
    what was last read; see `Outage`.
    """

    def __init__(
        self,
        gallery: Gallery,
        nets: Sequence[Net],
        weights: Sequence[float] = (),
        *,
        outage: Outage | None = None,
    ) -> None:
        """Creates the index; the first call reads the whole gallery.

        Args:
            gallery: the subjects.
            nets: at least one, all of the same identities.
            weights: the nets' weights in the fusion, by default equal ones. They also decide which
                net proposes the candidates of a large gallery.
            outage: the state of the gallery's store; by default, nobody may go on without it.
        """
        self._gallery = gallery
        self._nets = nets
        self._weights = weights or (1 / len(nets),) * len(nets)
        self._proposer = choose_proposer(self._weights, [net.calibration for net in nets])
        self._table: Table | None = None
        self._view: View | None = None
        self._outage = outage or Outage()
        self._confirmed: Moment | None = None  # when the view was last known to be the newest
        self._changing = threading.Lock()
        self._rebuilding: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def mean_map(self) -> MeanMapState:
        """The state of the mean maps as of the last call."""
        return MeanMapState.of(self._view.means if self._view else Cameras.without(self._nets))

    def refresh(self) -> None:
        """Applies the changes since the last call; the next search then need not.

        Also finds out whether the store can be reached, whatever is known of an outage.
        """
        self._newest()

    def forget_erased(self) -> Forgotten:
        """Applies the erasures so far; raises nothing if the gallery cannot be read."""
        forgotten = False
        with suppress(GalleryUnusable):
            revision = self._gallery.revision()
            with suppress(GalleryUnusable):  # another subject's damage does not matter here
                self._current()
            forgotten = self._view is not None and self._view.revision >= revision
        return Forgotten(forgotten, self._rebuilding is None)

    def describe(self) -> IndexState:
        """Counts the subjects, also those that cannot be searched."""
        return self._current().describe()

    def subject(self, subject_id: str, within: Within = None) -> Subject:
        """Returns a subject.

        Args:
            subject_id: the subject.
            within: see `search`.

        Raises:
            SubjectUnknown: if there is no subject of that id, or it is in none of the collections.
        """
        subject = self._current().subject(subject_id)
        if subject is None or (within is not None and subject.collection not in within):
            raise SubjectUnknown(subject_id)
        return subject

    def search(
        self, probes: Sequence[VeinMaps], within: Within = None, *, camera: str = UNNAMED
    ) -> Found:
        """Compares a palm with all subjects that have templates of every net.

        In a large gallery coarse maps propose `count_candidates` subjects, who alone are compared.

        Args:
            probes: for each net the maps of the probe's images, at least one.
            within: only subjects of these collections; None for all.
            camera: the camera that took the probe's images.
        """
        return search_all(self._current(), probes, self._proposer, within, camera=camera)

    def compare_each_other(
        self, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> tuple[list[Floats], Impostors | None]:
        """Compares P images with each other.

        Args:
            probes: for each net the maps of the images.
            camera: the camera that took them.

        Returns:
            For each net the scores float32 [P, P], and the site's impostors of the fused score;
            None if no mean map is subtracted.
        """
        return self._current().means.of(camera).compare_images(probes)

    def verify(
        self,
        subject_id: str,
        probes: Sequence[VeinMaps],
        within: Within = None,
        *,
        camera: str = UNNAMED,
    ) -> Found | None:
        """Compares a palm with one subject.

        Args:
            subject_id: the subject.
            probes: see `search`.
            within: see `search`.
            camera: see `search`.

        Returns:
            The scores with this subject alone; None if it does not exist, is in none of the
            collections, or lacks templates of a net.
        """
        view = self._current()
        among = view.searchable(within)
        slot = view.slots.get(subject_id, len(among))
        if slot >= len(among) or not among[slot]:
            return None
        found = search(view, probes, np.array([slot]), among, camera=camera)
        return found if found.subjects else None

    def agreement(
        self, subject_id: str, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> list[Floats]:
        """Returns where one image agrees with a subject, for each net.

        Args:
            subject_id: the subject.
            probes: for each net the map of the image.
            camera: the camera that took it.

        Returns:
            See `app.gallery.index.comparison.locate`; empty if there is no such subject.
        """
        view = self._current()
        slot = view.slots.get(subject_id)
        return [] if slot is None else locate(view, probes, slot, camera=camera)

    def settle(self) -> None:
        """Waits for the change of mean maps that is under way, if any."""
        thread = self._rebuilding
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stops the change of mean maps that is under way; call it before the gallery's `close`."""
        self._closing.set()
        self.settle()

    def _current(self) -> View:
        """Returns the view of the newest revision; in an outage the last one, if it may be used."""
        try:
            self._outage.check()
            return self._newest()
        except GalleryUnreachable:
            # In this order: what was confirmed holds for this view or an earlier one.
            confirmed, view = self._confirmed, self._view
            if view is None or confirmed is None or not self._outage.may_use(confirmed):
                raise
        retained = view.intact().retained(self._gallery.records.now())
        return replace(retained, as_of=confirmed.time)

    def _newest(self) -> View:
        """Returns the view of the newest revision, and notes whether the store can be reached."""
        asked = self._outage.now()
        with self._outage.noting():
            revision, view = self._gallery.revision(), self._view
            if view is None or self._is_outdated(view, revision):
                with self._changing:
                    view = self._view
                    # Another caller may have read the changes while this one waited.
                    if view is None or self._is_outdated(view, revision):
                        view = self._read_changes()
            self._confirmed = asked
        return view.intact()

    def _is_outdated(self, view: View, revision: int) -> bool:
        """Tells whether the gallery has changed, or a subject's retention date has passed."""
        if view.revision < revision:
            return True
        return view.expires is not None and view.expires <= self._gallery.records.now()

    def _read_changes(self) -> View:
        """Applies all changes; the caller holds the lock."""
        if self._table is None:
            means = next_means(
                self._gallery, self._nets, self._weights, Cameras.without(self._nets)
            )
            self._table = Table(self._nets, means, self._proposer)
        table = self._table
        table.read(self._gallery)
        table.drop_expired(self._gallery.records.now())
        self._view = view = table.view()
        if self._rebuilding is None and _needs_rebuild(table) and not self._closing.is_set():
            self._rebuilding = threading.Thread(
                target=self._rebuild, args=(table,), name="gallery-index", daemon=True
            )
            self._rebuilding.start()
        return view

    def _rebuild(self, table: Table) -> None:
        """Replaces the table by one with new mean maps and without erased rows, until it fits."""
        try:
            while True:
                rebuilt = self._build(table)
                with self._changing:
                    if rebuilt is not None:
                        # In an outage, an older view would bring back who was erased meanwhile.
                        rebuilt.read(self._gallery)
                        self._table = table = rebuilt
                        self._view = table.view()
                    if self._closing.is_set() or not _needs_rebuild(table):
                        self._rebuilding = None
                        return
        except Exception:  # of whatever kind: the next change of the gallery tries again
            logger.exception("the mean map was not changed")
            self._rebuilding = None  # only now: `settle` waits for all of the above

    def _build(self, table: Table) -> Table | None:
        """Builds a table with new mean maps; None if the old table must stay."""
        means = next_means(self._gallery, self._nets, self._weights, table.means)
        if means.revision == table.means.revision and not table.is_sparse:
            table.means, table.summed = means, means.considered
            return None
        rebuilt = Table(self._nets, means, self._proposer)
        return rebuilt if rebuilt.read(self._gallery, self._closing.is_set) else None


def _needs_rebuild(table: Table) -> bool:
    return table.is_sparse or table.means.are_due(table.summed)
