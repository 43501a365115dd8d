"""The gallery as the search needs it: in memory, one template for each subject and net."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.ensemble import Net
from app.gallery.gallery import Gallery, GalleryUnusable, Subject
from app.matching.templates import Floats, NetKey, are_unit, mean_template


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The gallery at one revision.

    Attributes:
        revision: of the gallery.
        subjects: everybody who has a template of every net.
        subject_ids: theirs, in the same order.
        matrices: for each net float32 [N, 2, M, D], in that order, of unit length: the mean of a
            subject's prototype, if it is a trained one, and its templates, for each of the views
            of `app.palm.views.template_views`.
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
        templates = [_mean_templates(net, self._gallery, trained) for net in self._nets]
        subjects = {subject.subject_id: subject for subject in _all_subjects(self._gallery)}
        known = sorted(set(subjects).intersection(*templates))
        matrices = tuple(
            np.stack([own[subject] for subject in known])
            if known
            else np.zeros((0, *net.prototypes.shape[1:]), np.float32)
            for net, own in zip(self._nets, templates, strict=True)
        )
        return Snapshot(revision, tuple(subjects[i] for i in known), tuple(known), matrices)


def _mean_templates(net: Net, gallery: Gallery, trained: frozenset[str]) -> dict[str, Floats]:
    """Everybody's prototype and templates [2, M, D] of one net as one."""
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
        f"the gallery is damaged, or of an earlier release: {key} has templates of another size, "
        f"or not of unit length, of subject {named} ({len(damaged)} in all); delete and enroll "
        "again, or restore a backup"
    )


def _all_subjects(gallery: Gallery) -> list[Subject]:
    found: list[Subject] = []
    while page := gallery.subjects(after=found[-1].subject_id if found else None, limit=1000):
        found += page
    return found
