"""The index of the gallery in its database: it finds whose palm a probe is without a copy of all.

The database proposes candidates by coarse maps, see `app.gallery.coarse`. Only their templates are
read and compared. Every process adds what has changed to the coarse maps before it searches.
"""

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import numpy as np

from app.ensemble import Net
from app.gallery.coarse import (
    CoarseStore,
    Replaced,
    Version,
    bits_of,
    pack_means,
    rows_of,
    signature_of,
    transform_of,
    unpack_means,
    view_of,
    windows_of,
)
from app.gallery.comparison import CANDIDATES, Found, choose_proposer, locate, search
from app.gallery.enrolled import next_means
from app.gallery.errors import GalleryUnusable
from app.gallery.following import LAST_NUMBER, Position
from app.gallery.gallery import Gallery
from app.gallery.index import Forgotten, MeanMapState
from app.gallery.means import Means
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps
from app.matching.scores import compare_each

logger = logging.getLogger(__name__)

SUBJECTS_PER_PAGE = 200  # with three images and nets about 20 MB
WAIT_S = 0.2  # between two looks whether another process has built the first version
ATTEMPTS = 5  # of a search whose version is replaced meanwhile

Result = TypeVar("Result")


class DatabaseIndex:
    """An `Index` for galleries that are too large for a process's memory.

    Safe for concurrent callers. A change by any process is seen by the next call. Every method
    that reads raises `GalleryUnusable` if the gallery cannot be read, or if a template that it
    needs is damaged.
    """

    def __init__(
        self,
        gallery: Gallery,
        store: CoarseStore,
        nets: Sequence[Net],
        weights: Sequence[float] = (),
    ) -> None:
        """Creates the index; the first call adds the whole gallery to the coarse maps.

        Args:
            gallery: the subjects.
            store: the coarse maps, in the same database.
            nets: at least one, all of the same identities.
            weights: the nets' weights in the fusion, by default equal ones. They also decide which
                net proposes the candidates.
        """
        self._gallery = gallery
        self._store = store
        self._nets = nets
        self._formats = [net.format for net in nets]
        self._weights = weights or (1 / len(nets),) * len(nets)
        self._proposer = choose_proposer(self._weights, [net.calibration for net in nets])
        self._signature = signature_of(nets, self._proposer)
        self._known = b"", 0, Means.none(nets)  # of the version with this key, as renewed
        self._changing = threading.Lock()
        self._running = 0
        self._rebuilding: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def mean_map(self) -> MeanMapState:
        """The state of the mean maps as of the last call."""
        _, _, means = self._known
        return MeanMapState(means.subjects, means.revision, means.fused_impostors)

    def refresh(self) -> None:
        """Adds what has changed to the coarse maps; the next search then need not."""
        self._on_version(lambda version, means: None)

    def forget_erased(self) -> Forgotten:
        """Tells whether erased templates have left this process: after the calls under way."""
        found = False
        with suppress(GalleryUnusable):
            self._gallery.revision()
            found = True
        return Forgotten(found, found and self._rebuilding is None and not self._running)

    def count_subjects(self) -> int:
        """Returns how many subjects can be searched."""
        return self._on_version(lambda version, means: version.subjects)

    def search(self, probes: Sequence[VeinMaps]) -> Found:
        """Compares a palm with the `CANDIDATES` subjects whose coarse maps are most alike.

        Args:
            probes: for each net the maps of the probe's images, at least one.
        """

        def propose(version: Version, means: Means) -> Found:
            mean, transform = means.maps[self._proposer], transform_of(version)
            windows = windows_of(probes[self._proposer], mean, transform)
            return self._compare(
                self._store.propose(version, windows, CANDIDATES), probes, version, means
            )

        return self._on_version(propose)

    def compare_each_other(
        self, probes: Sequence[VeinMaps]
    ) -> tuple[list[Floats], Impostors | None]:
        """Compares P images with each other; see `GalleryIndex.compare_each_other`."""
        means = self._on_version(lambda version, means: means)
        scores = [
            compare_each(maps, maps, mean) for maps, mean in zip(probes, means.maps, strict=True)
        ]
        return scores, means.fused_impostors

    def verify(self, subject_id: str, probes: Sequence[VeinMaps]) -> Found | None:
        """Compares a palm with one subject; see `GalleryIndex.verify`."""

        def compare(version: Version, means: Means) -> Found:
            number = self._store.number_of(subject_id)
            return self._compare([] if number is None else [number], probes, version, means)

        found = self._on_version(compare)
        return found if found.subjects else None

    def agreement(self, subject_id: str, probes: Sequence[VeinMaps]) -> list[Floats]:
        """Returns where one image agrees with a subject; see `GalleryIndex.agreement`."""

        def compare(_: Version, means: Means) -> list[Floats]:
            number = self._store.number_of(subject_id)
            if number is None:
                return []
            return locate(
                view_of(self._store.read([number], self._formats), self._nets, means), probes, 0
            )

        return self._on_version(compare)

    def settle(self) -> None:
        """Waits for the change of mean maps that is under way in this process, if any."""
        thread = self._rebuilding
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stops the change of mean maps that is under way; call it before the gallery's `close`."""
        self._closing.set()
        self.settle()

    def _compare(
        self,
        numbers: Sequence[int],
        probes: Sequence[VeinMaps],
        version: Version,
        means: Means,
    ) -> Found:
        """Compares with the subjects of some numbers; those erased meanwhile are left out."""
        changes = self._store.read(numbers, self._formats)
        view = view_of(changes, self._nets, means)
        known = np.flatnonzero(view.counts > 0)
        found = replace(search(view, probes, known), gallery_size=version.subjects)
        if self._gallery.revision() == changes.position.revision:
            return found
        left = self._store.read(numbers, []).numbers
        kept = np.array([changes.numbers[slot] in left for slot in known.tolist()], np.bool_)
        return replace(
            found,
            subjects=tuple(found.subjects[i] for i in np.flatnonzero(kept).tolist()),
            template_counts=found.template_counts[kept],
            by_net=[one[kept] for one in found.by_net],
        )

    def _on_version(self, use: Callable[[Version, Means], Result]) -> Result:
        """Uses the newest version, with all changes in it; again if another replaces it."""
        with self._counted():
            for _ in range(ATTEMPTS):
                with suppress(Replaced):
                    return use(*self._current())
        raise GalleryUnusable("the gallery's coarse maps are replaced again and again; try again")

    @contextmanager
    def _counted(self) -> Generator[None]:
        with self._changing:
            self._running += 1
        try:
            yield
        finally:
            with self._changing:
                self._running -= 1

    def _current(self) -> tuple[Version, Means]:
        """Returns the newest version and its mean maps, after all changes were added to it."""
        revision = self._gallery.revision()
        version = self._store.current(self._signature) or self._build_first()
        means = self._means_of(version)
        while version.position < Position(revision, LAST_NUMBER):
            version, _ = self._add_page(version, means)
        if self._rebuilding is None and means.are_due(version.summed):
            self._start_rebuild()
        return version, means

    def _means_of(self, version: Version) -> Means:
        key, renewed, means = self._known
        if (key, renewed) != (version.key, version.renewed):
            means = unpack_means(self._store.means(version))
            self._known = version.key, version.renewed, means
        return means

    def _add_page(self, version: Version, means: Means) -> tuple[Version, bool]:
        """Adds the next changes to a version; returns it, and whether they were the last."""
        changes = self._gallery.changes(version.position, self._formats, SUBJECTS_PER_PAGE)
        transform = transform_of(version)
        rows = rows_of(changes, self._nets, means, self._proposer, transform)
        return self._store.append(version, changes, rows), changes.complete

    def _build_first(self) -> Version:
        """Builds the first version, or waits until another process has."""
        while not self._closing.is_set():
            with self._store.building() as mine:
                version = self._store.current(self._signature)
                if mine and version is None:
                    self._build(Means.none(self._nets))
                    version = self._store.current(self._signature)
            if version is not None:
                return version
            self._closing.wait(WAIT_S)
        raise GalleryUnusable("the service stops before the gallery's coarse maps are complete")

    def _start_rebuild(self) -> None:
        with self._changing:
            if self._rebuilding is None and not self._closing.is_set():
                self._rebuilding = threading.Thread(
                    target=self._rebuild, name="gallery-index", daemon=True
                )
                self._rebuilding.start()

    def _rebuild(self) -> None:
        """Builds versions with new mean maps until they fit, unless another process does."""
        try:
            with self._store.building() as mine:
                while mine and not self._closing.is_set():
                    version = self._store.current(self._signature)
                    means = self._means_of(version) if version else Means.none(self._nets)
                    if version is None or not means.are_due(version.summed):
                        break
                    self._build(means, version)
        except Exception:  # of whatever kind: the next call tries again
            logger.exception("the mean map was not changed")
        finally:
            self._rebuilding = None

    def _build(self, former: Means, replaced: Version | None = None) -> None:
        """Builds a version with new mean maps; keeps the former version if they do not change."""
        means = next_means(self._gallery, self._nets, self._weights, former)
        if replaced is not None and means.maps is former.maps:
            self._store.renew(replaced, pack_means(means))
            return
        bits = bits_of(self._formats[self._proposer].shape)
        version = self._store.begin(
            self._signature, bits, pack_means(means), max(means.considered, 1)
        )
        complete = False
        while not complete and not self._closing.is_set():
            version, complete = self._add_page(version, means)
        if complete:
            self._store.complete(version)
