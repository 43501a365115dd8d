"""The gallery's index in memory: one template for each subject and net."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.ensemble import Net
from app.gallery.gallery import Gallery, GalleryUnusable, Subject
from app.matching.templates import Floats, NetKey, are_unit, mean_template

_PAGE = 1000  # subjects read at a time


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The gallery at one revision.

    Attributes:
        revision: the gallery's.
        subjects: every subject that has a template of every net.
        subject_ids: their ids, in the same order.
        matrices: for each net float32 [N, 2, M, D], in that order, of unit length along D: the
            mean of the subject's templates and, if it is a trained one, its prototype.
    """

    revision: int
    subjects: tuple[Subject, ...]
    subject_ids: tuple[str, ...]
    matrices: tuple[Floats, ...]


class GalleryIndex:
    """Keeps the newest snapshot of the gallery; safe for concurrent callers."""

    def __init__(self, gallery: Gallery, nets: Sequence[Net]) -> None:
        """Creates the index; the first call of `current` reads the gallery."""
        self._gallery = gallery
        self._nets = nets
        self._snapshot: Snapshot | None = None
        self._loading = threading.Lock()

    def current(self) -> Snapshot:
        """Returns the gallery as it is now; reads it only if any process has changed it.

        Raises:
            GalleryUnusable: if it cannot be read, or if a template in it is damaged. One NaN would
                make every probability NaN, so this is raised until the subjects that the message
                names are deleted. No restart is needed.
        """
        revision, snapshot = self._gallery.revision(), self._snapshot
        if snapshot is not None and snapshot.revision == revision:
            return snapshot
        with self._loading:
            revision, snapshot = self._gallery.revision(), self._snapshot
            # Another caller may have loaded the gallery while this one waited.
            if snapshot is None or snapshot.revision != revision:
                self._snapshot = snapshot = self._load(revision)
            return snapshot

    def _load(self, revision: int) -> Snapshot:
        trained = self._gallery.trained()
        templates = [_mean_templates(net, self._gallery, trained) for net in self._nets]
        subjects = {subject.subject_id: subject for subject in _all_subjects(self._gallery)}
        known = sorted(set(subjects).intersection(*templates))
        matrices = tuple(
            np.stack([own[subject_id] for subject_id in known])
            if known
            else np.zeros((0, *net.prototypes.shape[1:]), np.float32)
            for net, own in zip(self._nets, templates, strict=True)
        )
        return Snapshot(revision, tuple(subjects[i] for i in known), tuple(known), matrices)


def _mean_templates(net: Net, gallery: Gallery, trained: frozenset[str]) -> dict[str, Floats]:
    """Returns every subject's mean template [2, M, D] of one net."""
    rows = {
        identity: [prototype]
        for identity, prototype in zip(net.identities, net.prototypes, strict=True)
        if identity in trained
    }
    shape = net.prototypes.shape[1:]
    damaged: set[str] = set()
    templates = gallery.templates(net.key)
    for subject_id, vector in zip(templates.subject_ids, templates.vectors, strict=True):
        if vector.size == np.prod(shape) and are_unit(vector.reshape(shape)).all():
            rows.setdefault(subject_id, []).append(vector.reshape(shape))
        else:
            damaged.add(subject_id)
    if damaged:
        raise GalleryUnusable(_describe_damage(net.key, sorted(damaged)))
    return {subject_id: mean_template(np.stack(own)) for subject_id, own in rows.items()}


def _describe_damage(key: NetKey, damaged: Sequence[str]) -> str:
    named = ", ".join(map(repr, damaged[:3])) + (", ..." if len(damaged) > 3 else "")
    return (
        f"the gallery is damaged or of an earlier release: the templates of {key} of subject "
        f"{named} ({len(damaged)} in all) have a wrong size or are not of unit length; delete and "
        "enroll these subjects again, or restore a backup"
    )


def _all_subjects(gallery: Gallery) -> list[Subject]:
    found: list[Subject] = []
    while page := gallery.subjects(after=found[-1].subject_id if found else None, limit=_PAGE):
        found += page
    return found
