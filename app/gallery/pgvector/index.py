"""The index of the gallery in its database: it finds whose palm a probe is without a copy of all.

The database proposes candidates by coarse maps, see `app.gallery.pgvector.coarse`. Only their
templates are read and compared. Every process adds what has changed to the coarse maps before it
searches.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import numpy as np

from app.ensemble import Net
from app.gallery.collection import Within
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.comparison import (
    Found,
    choose_proposer,
    count_candidates,
    locate,
    search,
)
from app.gallery.index.searching import Forgotten, MeanMapState
from app.gallery.index.view import IndexState
from app.gallery.outage import Outage
from app.gallery.pgvector.coarse import (
    CoarseStore,
    Replaced,
    Version,
    transform_of,
    view_of,
    windows_of,
)
from app.gallery.pgvector.following import CoarseFollower
from app.gallery.subject import Subject
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps

ATTEMPTS = 5  # of a search whose version is replaced meanwhile

Result = TypeVar("Result")


class DatabaseIndex:
    """An `Index` for galleries that are too large for a process's memory.

    Safe for concurrent callers. A change by any process is seen by the next call. Every method
    that reads raises `GalleryUnusable` if the gallery cannot be read, or if a template that it
    needs is damaged. Nothing can be found while the database cannot be reached.
    """

    def __init__(
        self,
        gallery: Gallery,
        store: CoarseStore,
        nets: Sequence[Net],
        weights: Sequence[float] = (),
        *,
        outage: Outage | None = None,
    ) -> None:
        """Creates the index; the first call adds the whole gallery to the coarse maps.

        Args:
            gallery: the subjects.
            store: the coarse maps, in the same database.
            nets: at least one, all of the same identities.
            weights: the nets' weights in the fusion, by default equal ones. They also decide which
                net proposes the candidates.
            outage: the state of the gallery's store, in which it is noted.
        """
        weights = weights or (1 / len(nets),) * len(nets)
        self._gallery = gallery
        self._store = store
        self._nets = nets
        self._formats = [net.format for net in nets]
        self._proposer = choose_proposer(weights, [net.calibration for net in nets])
        self._follower = CoarseFollower(
            gallery, store, nets, weights, self._proposer, outage or Outage()
        )
        self._counting = threading.Lock()
        self._running = 0

    @property
    def mean_map(self) -> MeanMapState:
        """The state of the mean maps as of the last call."""
        return MeanMapState.of(self._follower.means)

    def refresh(self) -> None:
        """Adds what has changed to the coarse maps; the next search then need not."""
        self._on_version(lambda version, means: None)

    def forget_erased(self) -> Forgotten:
        """Tells whether erased templates have left this process: after the calls under way."""
        found = False
        with suppress(GalleryUnusable):
            self._gallery.revision()
            found = True
        is_idle = not (self._follower.is_rebuilding or self._running)
        return Forgotten(found, found and is_idle)

    def describe(self) -> IndexState:
        """Counts the subjects, also those that cannot be searched."""
        return self._on_version(
            lambda version, means: IndexState(
                self._store.count(version, None), self._store.count_others(version), None
            )
        )

    def subject(self, subject_id: str, within: Within = None) -> Subject:
        """Returns a subject; see `GalleryIndex.subject`."""
        return self._gallery.within(within).subject(subject_id)

    def search(
        self, probes: Sequence[VeinMaps], within: Within = None, *, camera: str = UNNAMED
    ) -> Found:
        """Compares a palm with the `count_candidates` subjects whose coarse maps are most alike.

        Args:
            probes: for each net the maps of the probe's images, at least one.
            within: only subjects of these collections; None for all.
            camera: the camera that took the images.
        """

        def propose(version: Version, means: Cameras) -> Found:
            mean = means.of(camera).maps[self._proposer]
            windows = windows_of(probes[self._proposer], mean, transform_of(version))
            size = self._store.count(version, within)
            numbers = self._store.propose(version, windows, count_candidates(size), within)
            return self._compare(numbers, probes, size, means, camera, within)

        return self._on_version(propose)

    def compare_each_other(
        self, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> tuple[list[Floats], Impostors | None]:
        """Compares P images with each other; see `GalleryIndex.compare_each_other`."""
        return self._on_version(lambda version, means: means).of(camera).compare_images(probes)

    def verify(
        self,
        subject_id: str,
        probes: Sequence[VeinMaps],
        within: Within = None,
        *,
        camera: str = UNNAMED,
    ) -> Found | None:
        """Compares a palm with one subject; see `GalleryIndex.verify`."""

        def compare(version: Version, means: Cameras) -> Found | None:
            number = self._store.number_of(subject_id, within)
            if number is None:
                return None
            size = self._store.count(version, within)
            return self._compare([number], probes, size, means, camera, within)

        found = self._on_version(compare)
        return found if found and found.subjects else None

    def agreement(
        self, subject_id: str, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> list[Floats]:
        """Returns where one image agrees with a subject; see `GalleryIndex.agreement`."""

        def compare(_: Version, means: Cameras) -> list[Floats]:
            number = self._store.number_of(subject_id, None)
            if number is None:
                return []
            view = view_of(self._store.read([number], self._formats), self._nets, means)
            return locate(view, probes, 0, camera=camera)

        return self._on_version(compare)

    def settle(self) -> None:
        """Waits for the change of mean maps that is under way in this process, if any."""
        self._follower.settle()

    def close(self) -> None:
        """Stops the change of mean maps that is under way; call it before the gallery's `close`."""
        self._follower.close()

    def _compare(
        self,
        numbers: Sequence[int],
        probes: Sequence[VeinMaps],
        size: int,
        means: Cameras,
        camera: str,
        within: Within,
    ) -> Found:
        """Compares with the subjects of some numbers.

        Those that were erased meanwhile, or moved out of the collections, are left out.
        """
        changes = self._store.read(numbers, self._formats)
        view = view_of(changes, self._nets, means)
        among = view.searchable(within)
        known = np.flatnonzero(among)
        found = replace(search(view, probes, known, among, camera=camera), gallery_size=size)
        if self._gallery.revision() == changes.position.revision:
            return found
        now = self._store.read(numbers, [])
        left = {
            number
            for number, one in zip(now.numbers, now.subjects, strict=True)
            if within is None or one.collection in within
        }
        kept = np.array([changes.numbers[slot] in left for slot in known.tolist()], np.bool_)
        return replace(
            found,
            subjects=tuple(found.subjects[i] for i in np.flatnonzero(kept).tolist()),
            template_counts=found.template_counts[kept],
            by_net=[one[kept] for one in found.by_net],
        )

    def _on_version(self, use: Callable[[Version, Cameras], Result]) -> Result:
        """Uses the newest version, with all changes in it; again if another replaces it."""
        with self._counted():
            for _ in range(ATTEMPTS):
                with suppress(Replaced):
                    return use(*self._follower.current())
        raise GalleryUnusable("the gallery's coarse maps are replaced again and again; try again")

    @contextmanager
    def _counted(self) -> Generator[None]:
        with self._counting:
            self._running += 1
        try:
            yield
        finally:
            with self._counting:
                self._running -= 1
