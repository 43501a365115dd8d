"""Keeps the coarse maps in a gallery's database up to date, whichever process changes the gallery.

Another mean map changes every coarse map. Then one process builds another version of them all;
until it is complete, every process searches the former one.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from app.ensemble import Net
from app.gallery.errors import GalleryUnusable
from app.gallery.following import LAST_NUMBER, Position
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import Cameras
from app.gallery.index.enrolled import next_means
from app.gallery.outage import Outage
from app.gallery.pgvector.coarse import (
    CoarseStore,
    Replaced,
    Version,
    bits_of,
    rows_of,
    signature_of,
    transform_of,
)
from app.gallery.pgvector.means import pack_means, unpack_means

logger = logging.getLogger(__name__)

SUBJECTS_PER_PAGE = 200  # with three images and nets about 20 MB
WAIT_S = 0.2  # between two looks whether another process has built the first version


class CoarseFollower:
    """Adds what has changed in a gallery to its coarse maps; safe for concurrent callers."""

    def __init__(
        self,
        gallery: Gallery,
        store: CoarseStore,
        nets: Sequence[Net],
        weights: Sequence[float],
        proposer: int,
        outage: Outage,
    ) -> None:
        """Creates the follower; reads nothing.

        Args:
            gallery: the subjects.
            store: the coarse maps, in the same database.
            nets: at least one, all of the same identities.
            weights: the nets' weights in the fusion.
            proposer: index of the net whose coarse maps these are.
            outage: the state of the gallery's store.
        """
        self._gallery = gallery
        self._store = store
        self._nets = nets
        self._formats = [net.format for net in nets]
        self._weights = weights
        self._proposer = proposer
        self._outage = outage
        self._signature = signature_of(nets, proposer)
        self._known = b"", 0, Cameras.without(nets)  # of the version with this key, as renewed
        self._changing = threading.Lock()
        self._rebuilding: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def means(self) -> Cameras:
        """The mean maps as of the last call."""
        _, _, means = self._known
        return means

    @property
    def is_rebuilding(self) -> bool:
        """Whether this process is building another version."""
        return self._rebuilding is not None

    def current(self) -> tuple[Version, Cameras]:
        """Returns the newest version and its mean maps, after all changes were added to it.

        Raises:
            Replaced: if another version takes its place meanwhile.
            GalleryUnusable: if the gallery cannot be read, or what has changed is damaged.
        """
        revision = self._read_revision()
        version = self._store.current(self._signature) or self._build_first()
        means = self._means_of(version)
        while version.position < Position(revision, LAST_NUMBER):
            version, _ = self._add_page(version, means)
        if self._rebuilding is None and means.are_due(version.summed):
            self._start_rebuild()
        return version, means

    def settle(self) -> None:
        """Waits for the change of mean maps that is under way in this process, if any."""
        thread = self._rebuilding
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stops the change of mean maps that is under way."""
        self._closing.set()
        self.settle()

    def build(self, former: Cameras, replaced: Version | None = None) -> None:
        """Builds a version with new mean maps; keeps the former version if they do not change.

        Args:
            former: the mean maps in use.
            replaced: the version in use, if there is one.
        """
        means = next_means(self._gallery, self._nets, self._weights, former)
        if replaced is not None and means.revision == former.revision:
            self._store.renew(replaced, pack_means(means))
            return
        bits = bits_of(self._formats[self._proposer].shape)
        subjects = max([1, *means.considered.values()])
        version = self._store.begin(self._signature, bits, pack_means(means), subjects)
        complete = False
        while not complete and not self._closing.is_set():
            version, complete = self._add_page(version, means)
        if complete:
            self._store.complete(version)

    def _read_revision(self) -> int:
        """Returns the gallery's revision, and notes whether its store can be reached."""
        with self._outage.noting():
            return self._gallery.revision()

    def _means_of(self, version: Version) -> Cameras:
        key, renewed, means = self._known
        if (key, renewed) != (version.key, version.renewed):
            means = unpack_means(self._store.means(version), self._nets)
            self._known = version.key, version.renewed, means
        return means

    def _add_page(self, version: Version, means: Cameras) -> tuple[Version, bool]:
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
                    self.build(Cameras.without(self._nets))
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
            with suppress(Replaced), self._store.building() as mine:
                while mine and not self._closing.is_set():
                    version = self._store.current(self._signature)
                    if version is None:
                        break
                    means = self._means_of(version)
                    if not means.are_due(version.summed):
                        break
                    self.build(means, version)
        except Exception:  # of whatever kind: the next call tries again
            logger.exception("the mean map was not changed")
        finally:
            self._rebuilding = None
