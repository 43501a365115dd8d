"""The gallery as the search needs it: in memory, one row for each subject and net."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.decision import Floats, are_unit, centroid
from app.ensemble import Net
from app.gallery.gallery import Gallery, GalleryUnusable, Subject, Templates


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The gallery at one revision.

    Attributes:
        revision: of the gallery.
        subjects: everybody who has a template of every net.
        subject_ids: theirs, in the same order.
        matrices: for each net float32 [N, M, D], in that order, of unit length: the mean of a
            subject's prototype, if it is a trained one, and its templates, for each of the moves
            of `app.palm.translation`.
    """

    revision: int
    subjects: tuple[Subject, ...]
    subject_ids: tuple[str, ...]
    matrices: tuple[Floats, ...]


class GalleryCache:
    """Reads the gallery anew when any process has changed it; safe for concurrent callers."""

    def __init__(self, gallery: Gallery, nets: Sequence[Net]) -> None:
        self._gallery = gallery
        self._nets = nets
        self._snapshot: Snapshot | None = None
        self._refreshing = threading.Lock()

    def current(self) -> Snapshot:
        """The gallery as it is now.

        Raises:
            GalleryUnusable: if it cannot be read, or if a template in it is damaged. One NaN makes
                every probability NaN, so that everybody would get a wrong answer: nobody gets one
                until the named subject is deleted, which needs no restart.
        """
        revision = self._gallery.revision()
        snapshot = self._snapshot
        if snapshot is not None and snapshot.revision == revision:
            return snapshot
        with self._refreshing:
            self._snapshot = self._load(revision)
            return self._snapshot

    def _load(self, revision: int) -> Snapshot:
        trained = self._gallery.trained()
        rows = [_rows_by_subject(net, self._gallery, trained) for net in self._nets]
        subjects = {subject.subject_id: subject for subject in _all_subjects(self._gallery)}
        known = sorted(set(subjects).intersection(*rows))
        matrices = tuple(
            np.stack([centroid(np.stack(own[subject])) for subject in known])
            if known
            else np.zeros((0, *net.prototypes.shape[1:]), np.float32)
            for net, own in zip(self._nets, rows, strict=True)
        )
        return Snapshot(revision, tuple(subjects[i] for i in known), tuple(known), matrices)


def _rows_by_subject(
    net: Net, gallery: Gallery, trained: frozenset[str]
) -> dict[str, list[Floats]]:
    rows = {
        identity: [prototype]
        for identity, prototype in zip(net.identities, net.prototypes, strict=True)
        if identity in trained
    }
    templates = gallery.templates(net.key)
    vectors = _checked(templates, net)
    for subject_id, vector in zip(templates.subject_ids, vectors, strict=True):
        rows.setdefault(subject_id, []).append(vector)
    return rows


def _checked(templates: Templates, net: Net) -> Floats:
    """The templates as the net's prototypes are, [T, M, D]."""
    shape = (len(templates.subject_ids), *net.prototypes.shape[1:])
    fits = templates.vectors.size == np.prod(shape)
    vectors = templates.vectors.reshape(shape) if fits else np.zeros(shape, np.float32)
    rows = zip(templates.subject_ids, are_unit(vectors), strict=True)
    if damaged := sorted({subject_id for subject_id, sound in rows if not sound.all()}):
        named = ", ".join(map(repr, damaged[:3])) + (", ..." if len(damaged) > 3 else "")
        raise GalleryUnusable(
            f"the gallery is damaged: {net.key} has templates that are not of unit length, of "
            f"subject {named} ({len(damaged)} in all); delete and enroll again, or restore a backup"
        )
    return vectors


def _all_subjects(gallery: Gallery) -> list[Subject]:
    found: list[Subject] = []
    while page := gallery.subjects(after=found[-1].subject_id if found else None, limit=1000):
        found += page
    return found
