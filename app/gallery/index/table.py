"""The searchable subjects and the rows of every net, changed in place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from heapq import heappop, heappush
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Net
from app.gallery.errors import ROTATION_UNFINISHED
from app.gallery.following import START, Changes, Position, StoredMaps
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.rows import FREE, Rows, Slots
from app.gallery.index.view import View
from app.gallery.subject import Subject
from app.matching.maps import VeinMaps
from app.matching.templates import MapFormat

_SUBJECTS_PER_PAGE = 200  # with three images and nets about 20 MB

MIN_ERASED = 1000
"""Least number of erased rows for which a table is built anew."""

_NONE = np.iinfo(np.int32).max  # more maps than a subject has: none is appended


class Table:
    """Follows a gallery's changes; one caller at a time may do so, any number may use views."""

    def __init__(self, nets: Sequence[Net], means: Cameras, proposer: int) -> None:
        """Creates an empty table.

        Args:
            nets: the nets in service.
            means: the mean maps to subtract, by camera.
            proposer: index of the net whose coarse maps are kept.
        """
        self.means = means
        self.summed: Mapping[str, int] = {}
        self._nets = nets
        self._formats = [net.format for net in nets]
        self._identities = {identity: i for i, identity in enumerate(nets[0].identities)}
        shipped = [np.bincount(net.trained.owners, minlength=len(self._identities)) for net in nets]
        # One row for each identity; index -1 is the row of zeros for everybody else.
        self._shipped = np.append(np.stack(shipped, 1), [[0] * len(nets)], axis=0)
        self._rows = [Rows(net.format.shape, coarse=i == proposer) for i, net in enumerate(nets)]
        self._position = START
        self._numbers: dict[int, int] = {}  # slots by number
        self._slots: dict[str, int] = {}
        self._subjects: list[Subject | None] = []
        self._held: list[list[int]] = []  # by slot: for each net the enrolled maps in its rows
        self._counts: list[int] = []
        self._collections: list[int] = []  # by slot, as the two before
        self._collection_numbers: dict[str, int] = {}
        self._erased: set[int] = set()
        self._damaged: dict[int, tuple[str, MapFormat]] = {}  # by number
        self._expiries: list[tuple[datetime, int]] = []  # a heap, with numbers; some are outdated

    @property
    def is_sparse(self) -> bool:
        """Whether more than a quarter of the rows, and `MIN_ERASED`, are erased ones."""
        rows = self._rows[0]
        return rows.erased > max(MIN_ERASED, len(rows) // 4)

    def read(self, gallery: Gallery, stops: Callable[[], bool] = lambda: False) -> bool:
        """Applies the gallery's changes; reads the next page while it applies one.

        Args:
            gallery: the gallery.
            stops: tells, before each page but the first, whether to stop.

        Returns:
            Whether all changes were applied.

        Raises:
            GalleryUnusable: if the gallery cannot be read.
        """

        def read(after: Position) -> Changes:
            return gallery.changes(after, self._formats, _SUBJECTS_PER_PAGE)

        if self.apply(read(self._position)):  # all of a usual change: it needs no thread
            return True
        with ThreadPoolExecutor(1, "gallery-page") as reader:
            following = reader.submit(read, self._position)
            while not stops():
                page = following.result()
                if not page.complete:
                    following = reader.submit(read, page.position)
                if self.apply(page):
                    return True
        return False

    def apply(self, changes: Changes) -> bool:
        """Applies changes that were read; returns whether these were the last."""
        self._erase(changes.removed)
        self._add(changes)
        self.summed = changes.summed
        self._position = changes.position
        return changes.complete

    def view(self) -> View:
        """Returns the table as it is now."""
        return View(
            self._position.revision,
            tuple(rows.view() for rows in self._rows),
            self.means,
            tuple(self._subjects),
            np.array(self._counts, np.int32),
            np.array(self._collections, np.int32),
            self._collection_numbers,
            self._slots,
            self._erased,
            _describe_damage(self._damaged.values()) if self._damaged else None,
            self._expiries[0][0] if self._expiries else None,
        )

    def drop_expired(self, now: datetime) -> None:
        """Erases the subjects whose retention date has passed, before the gallery does."""
        passed: set[int] = set()
        while self._expiries and self._expiries[0][0] <= now:
            _, number = heappop(self._expiries)
            subject = self._subjects[self._numbers[number]] if number in self._numbers else None
            until = subject.retain_until if subject else None
            if until is not None and until <= now:  # else the date was changed
                passed.add(number)
        self._erase(list(passed))

    def _erase(self, numbers: Sequence[int]) -> None:
        slots: list[int] = []
        for number in numbers:
            self._damaged.pop(number, None)
            slot = self._numbers.pop(number, None)
            if slot is not None:
                slots.append(slot)
        self._erased.update(slots)  # before their rows are overwritten, see `View.erased`
        for slot in slots:
            subject = self._subjects[slot]
            if subject is not None and self._slots.get(subject.subject_id) == slot:
                del self._slots[subject.subject_id]
            self._subjects[slot] = None
            self._counts[slot] = 0
        if slots:
            for rows in self._rows:
                rows.erase(np.array(slots, np.int32))

    def _add(self, changes: Changes) -> None:
        """Adds the subjects, and those of their maps that are not in the rows yet."""
        slots = self._place(changes)
        identities = self._identities_of(changes.subjects)
        enrolled = np.stack([np.bincount(m.owners, minlength=len(slots)) for m in changes.maps], 1)
        images = enrolled + self._shipped[identities]
        usable = self._check(changes) & (images > 0).all(axis=1)
        first = usable & (np.array([self._counts[slot] for slot in slots], np.int32) == 0)
        held = np.array([self._held[slot] for slot in slots], np.int32).reshape(enrolled.shape)
        for i, stored in enumerate(changes.maps):
            if (identities[first] >= 0).any():
                self._append_shipped(i, slots[first], identities[first])
            self._append_enrolled(i, stored, slots, np.where(usable, held[:, i], _NONE))
        for i in np.flatnonzero(usable).tolist():
            self._held[slots[i]] = enrolled[i].tolist()
            self._counts[slots[i]] = int(images[i].max())

    def _place(self, changes: Changes) -> Slots:
        """Returns the slot of each subject; new subjects get new slots."""
        slots: list[int] = []
        for subject, number in zip(changes.subjects, changes.numbers, strict=True):
            slot = self._numbers.setdefault(number, len(self._subjects))
            if slot == len(self._subjects):
                self._subjects.append(None)
                self._held.append([0] * len(self._nets))
                self._counts.append(0)
                self._collections.append(0)
            self._subjects[slot] = subject
            self._collections[slot] = self._collection_numbers.setdefault(
                subject.collection, len(self._collection_numbers)
            )
            self._slots[subject.subject_id] = slot
            if subject.retain_until is not None:
                heappush(self._expiries, (subject.retain_until, number))
            slots.append(slot)
        return np.array(slots, np.int32)

    def _identities_of(self, subjects: Sequence[Subject]) -> NDArray[np.int64]:
        """Returns each subject's trained identity, whose templates may be used; -1 for none."""
        found = [
            self._identities.get(one.subject_id, -1) if one.origin == "trained" else -1
            for one in subjects
        ]
        return np.array(found, np.int64)

    def _check(self, changes: Changes) -> NDArray[np.bool_]:
        """Remembers the subjects with damaged maps; returns which subjects are intact."""
        intact = np.ones(len(changes.subjects), np.bool_)
        for number in changes.numbers:
            self._damaged.pop(number, None)
        for of, stored in zip(self._formats, changes.maps, strict=True):
            intact_size = np.array(
                [of.shape.may_be_stored(len(one)) for one in stored.maps], np.bool_
            )
            damaged: list[int] = stored.owners[~intact_size].tolist()
            for i in damaged:
                self._damaged[changes.numbers[i]] = changes.subjects[i].subject_id, of
                intact[i] = False
        return intact

    def _append_shipped(self, net: int, slots: Slots, identities: NDArray[np.int64]) -> None:
        """Appends the templates that a net has of trained identities."""
        known = identities >= 0
        slot_of = np.full(len(self._identities), FREE, np.int32)
        slot_of[identities[known]] = slots[known]
        trained = self._nets[net].trained
        owners = slot_of[trained.owners]
        rows = np.flatnonzero(owners != FREE)
        self._append(net, trained.maps[rows], owners[rows], UNNAMED)

    def _append_enrolled(
        self, net: int, stored: StoredMaps, slots: Slots, held: NDArray[np.integer]
    ) -> None:
        """Appends the maps of each subject beyond the first `held` ones."""
        rank = np.arange(len(stored.owners)) - np.searchsorted(stored.owners, stored.owners)
        new = np.flatnonzero(rank >= held[stored.owners])
        maps = VeinMaps.from_bytes([stored.maps[i] for i in new.tolist()], self._formats[net].shape)
        scaled = self._nets[net].cohort.scaled(maps)  # an earlier release stored no scales
        owners = slots[stored.owners[new]]
        first = 0
        # Runs, not cameras: coarse maps are numbered by the order of these rows.
        for camera, run in groupby(stored.cameras[i] for i in new.tolist()):
            own = slice(first, first + len(list(run)))
            self._append(net, scaled[own], owners[own], camera)
            first = own.stop

    def _append(self, net: int, maps: VeinMaps, owners: Slots, camera: str) -> None:
        means = self.means
        self._rows[net].append(maps, means.of(camera).maps[net], owners, means.number_of(camera))


def _describe_damage(damaged: Iterable[tuple[str, MapFormat]]) -> str:
    found = sorted(damaged)
    _, of = found[0]
    named = ", ".join(repr(subject_id) for subject_id, _ in found[:3])
    return (
        f"the gallery is damaged: templates of {of} of subject {named}"
        f"{', ...' if len(found) > 3 else ''} ({len(found)} in all) cannot be read; "
        f"{ROTATION_UNFINISHED}delete and enroll these subjects again, or restore a backup"
    )
