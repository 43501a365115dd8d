"""The searchable subjects at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.gallery.collection import Within
from app.gallery.errors import GalleryUnusable
from app.gallery.index.cameras import Cameras
from app.gallery.index.rows import RowsView, Slots
from app.gallery.subject import Subject

Counts = NDArray[np.int32]


class IndexState(NamedTuple):
    """How many subjects the index knows.

    Attributes:
        searchable: those that can be searched.
        without_templates: enrolled subjects that cannot, for lack of templates of a net.
        as_of: see `View`.
    """

    searchable: int
    without_templates: int
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class View:
    """The table at one revision. A slot is a subject's place; it is not used again.

    Attributes:
        revision: the gallery's.
        rows: each net's rows.
        means: the mean maps that the rows were computed with, by camera.
        subjects: by slot, S in all; None where the subject was erased.
        counts: int32 [S], number of images that each subject is compared with: the most of any
            net's, because more need a higher threshold; 0 if the subject cannot be searched.
        collections: int32 [S], number of each subject's collection.
        collection_numbers: the number of each collection. Not frozen: also knows later ones.
        slots: the slot of each subject_id. Not frozen: also knows subjects that came later.
        erased: slots of the erased subjects. Not frozen: whoever has compared rows must leave out
            the slots that are in it afterwards, because their rows may have been overwritten.
        damage: what is damaged in the gallery; None if nothing is.
        as_of: when this was last known to be the newest revision, UTC; None if it is now.
        expires: when the retention date of the next subject passes; None if none has one.
    """

    revision: int
    rows: tuple[RowsView, ...]
    means: Cameras
    subjects: tuple[Subject | None, ...]
    counts: Counts
    collections: Slots
    collection_numbers: Mapping[str, int]
    slots: Mapping[str, int]
    erased: set[int]
    damage: str | None
    expires: datetime | None
    as_of: datetime | None = None

    def intact(self) -> Self:
        """Returns this view if nothing in it is damaged.

        Raises:
            GalleryUnusable: if something is.
        """
        if self.damage is not None:
            raise GalleryUnusable(self.damage)
        return self

    def describe(self) -> IndexState:
        """Counts the subjects, also those that cannot be searched."""
        # Erased subjects are None.
        others = [self.subjects[slot] for slot in np.flatnonzero(self.counts == 0).tolist()]
        return IndexState(
            len(self.counts) - len(others),
            sum(one is not None and one.origin == "enrolled" for one in others),
            self.as_of,
        )

    def subject(self, subject_id: str) -> Subject | None:
        """Returns a subject; None if there is none of that id."""
        slot = self.slots.get(subject_id, len(self.subjects))
        return self.subjects[slot] if slot < len(self.subjects) else None

    def retained(self, now: datetime) -> "View":
        """Returns this view without the subjects whose retention date has passed meanwhile."""
        if self.expires is None or self.expires > now:
            return self
        until = [one.retain_until if one else None for one in self.subjects]
        expired = np.array([at is not None and at <= now for at in until], np.bool_)
        subjects = [
            None if is_gone else one
            for one, is_gone in zip(self.subjects, expired.tolist(), strict=True)
        ]
        counts = np.where(expired, np.int32(0), self.counts)
        return replace(self, subjects=tuple(subjects), counts=counts)

    def searchable(self, within: Within) -> NDArray[np.bool_]:
        """Tells which slots can be searched of some collections, or of all, bool [S]."""
        usable = self.counts > 0
        if within is None:
            return usable
        known = [self.collection_numbers.get(name, -1) for name in within]
        return usable & np.isin(self.collections, known)
