"""Checks whose palm images show: one palm, the subject's own, and nobody else's."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Ensemble
from app.gallery.collection import DEFAULT
from app.gallery.errors import CollectionDiffers, SubjectExists, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED
from app.gallery.index.searching import Index
from app.gallery.once import Once
from app.gallery.subject import Hand, Subject
from app.matching.impostors import Impostors
from app.matching.maps import VeinMaps
from app.numbers import show_coarsely
from app.palm.errors import PalmImageError

SAME_FMR = 0.005
"""False match rate at which two images count as images of one palm."""

KNOWN_FPIR = 0.005
"""Share of new palms that may be taken for an enrolled one, as far as rates that low are
calibrated: up to 10,000 subjects with the shipped nets."""


class PalmsDiffer(PalmImageError):
    """The images of one request show more than one palm."""


class OtherPalm(PalmImageError):
    """The images to add to a subject show another palm than its own."""


class PalmKnown(Exception):
    """The palm is enrolled under another subject."""

    def __init__(self, subject_id: str | None, score: float, least: float) -> None:
        owner = "under another subject" if subject_id is None else f"as {subject_id!r}"
        super().__init__(
            f"this palm is enrolled {owner} (score {show_coarsely(score)}, a new palm stays below "
            f"{least:.2f}): add the images to that subject with add=true, or send force=true if "
            "it is another person's palm"
        )
        self._scores = score, least

    def unnamed(self) -> "PalmKnown":
        """Returns the same error for callers who may not know the subject."""
        return PalmKnown(None, *self._scores)


class HandDiffers(Exception):
    """The subject was enrolled with the other hand."""

    def __init__(self, subject_id: str, known: Hand) -> None:
        super().__init__(
            f"subject {subject_id!r} is a {known} hand: leave hand out, or enroll the other hand "
            "under another subject_id"
        )


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of images before they are enrolled.

    Attributes:
        ensemble: the nets.
        gallery: the subjects that the caller may see.
        index: the whole gallery's index.
        add: whether the subject may exist.
        force: whether the palm may be unlike the subject's, or enrolled under another subject.
        collection: the subject's; None for that of a known one, or for "default".
        camera: the camera that took the images.
    """

    ensemble: Ensemble
    gallery: Gallery
    index: Index
    add: bool
    force: bool
    collection: str | None = None
    camera: str = UNNAMED

    def apply(
        self, subject_id: str, hand: Hand | None, probes: Sequence[VeinMaps], once: Once | None
    ) -> Subject | None:
        """Checks images.

        Args:
            subject_id: the subject to enroll.
            hand: which hand it is, if the caller says.
            probes: for each net the maps of the images.
            once: identifies the request.

        Returns:
            None; or the subject, if the same request was done while this one was computed.

        Raises:
            PalmsDiffer: if the images show several palms.
            HandDiffers: if the subject is the other hand.
            CollectionDiffers: if it is in another collection.
            SubjectExists: if it exists, and `add` is false.
            OtherPalm: if the images show another palm than the subject's.
            PalmKnown: if the palm is enrolled under another subject of the collection.
        """
        try:
            self._require(subject_id, hand, probes)
        except (PalmImageError, PalmKnown, HandDiffers, CollectionDiffers, SubjectExists):
            if once is None or not self.gallery.was_enrolled(once):
                raise
            return self.gallery.subject(subject_id)
        return None

    def _require(self, subject_id: str, hand: Hand | None, probes: Sequence[VeinMaps]) -> None:
        require_one_palm(self.ensemble, self.index, probes, camera=self.camera)
        known = self._find(subject_id)
        if known is not None:
            if hand and known.hand and known.hand != hand:
                raise HandDiffers(subject_id, known.hand)
            if not self.add:
                raise SubjectExists(subject_id)
            if self.collection not in (None, known.collection):
                raise CollectionDiffers(subject_id, known.collection)
        if self.force:
            return
        # One whom the caller may not see is not compared: the gallery will refuse the id.
        if known is not None:
            require_own_palm(self.ensemble, self.index, subject_id, probes, camera=self.camera)
        collection = known.collection if known else self.collection or DEFAULT
        require_new_palm(
            self.ensemble, self.index, subject_id, probes, collection, camera=self.camera
        )

    def _find(self, subject_id: str) -> Subject | None:
        with suppress(SubjectUnknown):
            return self.gallery.subject(subject_id)
        return None


def require_one_palm(
    ensemble: Ensemble, index: Index, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
) -> None:
    """Checks that all images of a request show one palm.

    Images belong together if a chain of pairs that reach the threshold connects them.

    Args:
        ensemble: the nets.
        index: the gallery, whose mean map is subtracted.
        probes: for each net the maps of the images.
        camera: the camera that took them.

    Raises:
        PalmsDiffer: if images do not belong to the first one; the message names them.
    """
    if len(probes[0]) < 2:
        return
    by_net, impostors = index.compare_each_other(probes, camera=camera)
    fused = ensemble.fusion.combine(by_net)
    fused = np.maximum(fused, fused.T)
    least = _least(ensemble, SAME_FMR, np.ones(1, np.int64), 1, impostors)
    together = _connected(fused >= least)
    if together.all():
        return
    others = np.flatnonzero(~together).tolist()
    apart = ", ".join(f"image {i + 1}: {show_coarsely(fused[i, together].max())}" for i in others)
    raise PalmsDiffer(
        f"the images do not show one palm; best scores against image 1 and images like it: {apart} "
        f"(at least {least:.2f} is needed); send images of one palm, all upright"
    )


def require_own_palm(
    ensemble: Ensemble,
    index: Index,
    subject_id: str,
    probes: Sequence[VeinMaps],
    *,
    camera: str = UNNAMED,
) -> None:
    """Checks that images show the palm of a subject, if it is known by the nets in service.

    Raises:
        OtherPalm: if they do not.
    """
    score, least = measure_own_palm(ensemble, index, subject_id, probes, camera=camera) or (0, 0)
    if score < least:
        raise OtherPalm(
            f"the images do not show the palm of subject {subject_id!r} (score "
            f"{show_coarsely(score)}, at least {least:.2f} is needed): send images of that palm, "
            "all upright, choose another subject_id, or send force=true if you are sure"
        )


def measure_own_palm(
    ensemble: Ensemble,
    index: Index,
    subject_id: str,
    probes: Sequence[VeinMaps],
    *,
    camera: str = UNNAMED,
) -> tuple[float, float] | None:
    """Returns the score of images with a subject, and the least one that its own palm reaches.

    None if the subject has no templates of the nets in service.
    """
    found = index.verify(subject_id, probes, camera=camera)
    if found is None:
        return None
    score = float(ensemble.fusion.combine(found.by_net)[0])
    return score, _least(
        ensemble, SAME_FMR, found.template_counts, found.probe_images, found.fused_impostors
    )


def require_new_palm(
    ensemble: Ensemble,
    index: Index,
    subject_id: str,
    probes: Sequence[VeinMaps],
    collection: str,
    *,
    camera: str = UNNAMED,
) -> None:
    """Checks that the palm is not enrolled under another subject of the same collection.

    Raises:
        PalmKnown: if it is.
    """
    found = index.search(probes, frozenset({collection}), camera=camera)
    fused = ensemble.fusion.combine(found.by_net)
    limits = ensemble.fusion.calibration.at(
        KNOWN_FPIR / max(found.gallery_size, 1),
        found.template_counts,
        probes=found.probe_images,
        impostors=found.fused_impostors,
    )
    others = np.array([one.subject_id != subject_id for one in found.subjects], np.bool_)
    above = np.where(others, fused - limits.scores, -np.inf)
    if len(above) and above.max() >= 0:
        best = int(above.argmax())
        known = found.subjects[best].subject_id
        raise PalmKnown(known, float(fused[best]), float(limits.scores[best]))


def _least(
    ensemble: Ensemble,
    fmr: float,
    templates: NDArray[np.int64],
    probes: int,
    impostors: Impostors | None,
) -> float:
    limits = ensemble.fusion.calibration.at(fmr, templates, probes=probes, impostors=impostors)
    return float(limits.scores[0])


def _connected(alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks which of N images are connected with the first one by pairs bool [N, N]."""
    together = np.zeros(len(alike), np.bool_)
    together[0] = True
    for _ in alike:
        together |= alike[together].any(axis=0)
    return together
