"""Checks that two subjects are one palm, by the templates of one as the probe of the other."""

from collections.abc import Callable, Sequence

from app.enrolment import measure_own_palm
from app.ensemble import Ensemble
from app.gallery.errors import SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index.searching import Index
from app.gallery.sql.records import Check, StoredMap
from app.gallery.subject import Subject
from app.matching.maps import VeinMaps
from app.numbers import show_coarsely


class PalmsUnlike(Exception):
    """Two subjects that are to be one do not show one palm."""

    def __init__(self, subject_id: str, other: str, score: float, least: float) -> None:
        super().__init__(
            f"{other!r} does not show the palm of {subject_id!r} (score {show_coarsely(score)}, at "
            f"least {least:.2f} is needed): keep both, or send force=true if you are sure"
        )


class MergeUnchecked(Exception):
    """One of two subjects cannot be compared with the other."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} has no templates of the nets in service, so that nobody can "
            "tell whether both are one palm: enroll it again with add=true, or send force=true if "
            "you are sure"
        )


def require_one_subject(
    nets_for: Callable[[str], Ensemble],
    gallery: Gallery,
    index: Index,
    subject_id: str,
    other: str,
) -> Check:
    """Checks that the templates of another subject show a subject's palm.

    Those of each camera are one probe; it is enough if the palm reaches the threshold of one.

    Args:
        nets_for: returns the nets with the thresholds for images of a camera.
        gallery: the subjects.
        index: the gallery's index.
        subject_id: the subject.
        other: the other subject.

    Returns:
        A check that both are still the subjects that were compared, for `Records.merge`.

    Raises:
        SubjectUnknown: if one of both does not exist; the check likewise, if it was erased since.
        MergeUnchecked: if one has no templates of the nets in service.
        PalmsUnlike: if they do not.
    """
    kept = gallery.subject(subject_id)
    record = gallery.records.read(other)
    scores: list[tuple[float, float]] = []
    for camera in dict.fromkeys(one.camera for one in record.maps):
        ensemble = nets_for(camera)
        probes = _as_probes(ensemble, [one for one in record.maps if one.camera == camera])
        if len(probes[0]):
            measured = measure_own_palm(ensemble, index, subject_id, probes, camera=camera)
            if measured is None:
                raise MergeUnchecked(subject_id)
            scores.append(measured)
    if not scores:
        raise MergeUnchecked(other)
    score, least = max(scores, key=lambda one: one[0] - one[1])
    if score < least:
        raise PalmsUnlike(subject_id, other, score, least)
    created = {one.subject_id: one.created_at for one in (kept, record.subject)}

    def require_same(subject: Subject) -> None:
        if subject.created_at != created[subject.subject_id]:
            raise SubjectUnknown(subject.subject_id)  # another one was enrolled under its id

    return require_same


def _as_probes(ensemble: Ensemble, maps: Sequence[StoredMap]) -> list[VeinMaps]:
    """Returns for each net the maps of the templates that have intact ones of every net."""
    by_net = [
        {
            one.number: one.content
            for one in maps
            if (one.net, one.template_id) == (net.format.net, net.format.template_id)
            and net.format.shape.may_be_stored(len(one.content))
        }
        for net in ensemble.nets
    ]
    shared = sorted(number for number in by_net[0] if all(number in own for own in by_net))
    return [
        net.cohort.scaled(VeinMaps.from_bytes([own[one] for one in shared], net.format.shape))
        for net, own in zip(ensemble.nets, by_net, strict=True)
    ]
