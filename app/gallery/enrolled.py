"""Reads the templates of the enrolled subjects, and measures what they have in common."""

from collections.abc import Sequence

from app.ensemble import Net
from app.gallery.errors import ROTATION_UNFINISHED, GalleryUnusable
from app.gallery.following import START, Changes
from app.gallery.gallery import Gallery
from app.gallery.means import Means
from app.matching.impostors import MAX_COHORT
from app.matching.maps import VeinMaps

_PAGE = 200  # subjects read at a time


def next_means(
    gallery: Gallery, nets: Sequence[Net], weights: Sequence[float], former: Means
) -> Means:
    """Returns the mean maps of the subjects who are enrolled now, with the site's impostors.

    Args:
        gallery: the gallery.
        nets: the nets.
        weights: their weights in the fused score.
        former: the mean maps in use, which are returned if others would be refused.

    Raises:
        GalleryUnusable: if the gallery cannot be read, or a template is damaged.
    """
    sums = gallery.map_sums([net.format for net in nets])
    means = former.following(nets, sums)
    if means.maps is former.maps or not means.subjects:
        return means
    _, maps = read_enrolled(gallery, nets, most=MAX_COHORT)
    by_net = [[own[net] for own in maps] for net in range(len(nets))]
    return means.measured(by_net, sums, weights)


def read_enrolled(
    gallery: Gallery, nets: Sequence[Net], most: int | None = None
) -> tuple[list[str], list[list[VeinMaps]]]:
    """Reads the enrolled subjects that have templates of every net.

    Args:
        gallery: the gallery.
        nets: the nets.
        most: number of subjects after which no more are read; None for all.

    Returns:
        The subjects' ids, and for each subject and net its maps, of each net equally many.

    Raises:
        GalleryUnusable: if the gallery cannot be read, or a template is damaged.
    """
    found: dict[int, tuple[str, list[VeinMaps]]] = {}  # by number: a subject may change meanwhile
    formats = [net.format for net in nets]
    position, complete = START, False
    while not complete and (most is None or len(found) < most):
        page = gallery.changes(position, formats, _PAGE)
        position, complete = page.position, page.complete
        for number in page.removed:
            found.pop(number, None)
        for index, (subject, number) in enumerate(zip(page.subjects, page.numbers, strict=True)):
            maps = _maps_of(page, index, nets) if subject.origin == "enrolled" else []
            if maps and len(maps[0]):
                found[number] = subject.subject_id, maps
    chosen = list(found.values())[:most]
    return [subject_id for subject_id, _ in chosen], [maps for _, maps in chosen]


def _maps_of(page: Changes, index: int, nets: Sequence[Net]) -> list[VeinMaps]:
    """Returns the maps of the page's subject `index`, by net."""
    stored = [
        [one for owner, one in zip(net.owners, net.maps, strict=True) if owner == index]
        for net in page.maps
    ]
    images = min(map(len, stored))  # a subject may have older ones of some nets only
    try:
        return [
            net.cohort.scaled(VeinMaps.from_bytes(own[len(own) - images :], net.format.shape))
            for own, net in zip(stored, nets, strict=True)
        ]
    except ValueError as error:
        raise GalleryUnusable(
            f"a template of subject {page.subjects[index].subject_id!r} is damaged ({error}): "
            f"{ROTATION_UNFINISHED}delete and enroll it again"
        ) from error
