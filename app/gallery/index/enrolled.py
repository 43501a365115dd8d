"""Reads the templates of the enrolled subjects, and measures what they have in common."""

from collections.abc import Collection, Sequence

from app.ensemble import Net
from app.gallery.errors import ROTATION_UNFINISHED, GalleryUnusable
from app.gallery.following import START, Changes
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import CameraCohort, Cameras
from app.matching.impostors import MAX_COHORT
from app.matching.maps import VeinMaps

_PAGE = 200  # subjects read at a time


def next_means(
    gallery: Gallery, nets: Sequence[Net], weights: Sequence[float], former: Cameras
) -> Cameras:
    """Returns the mean maps of the subjects who are enrolled now, with the site's impostors.

    Args:
        gallery: the gallery.
        nets: the nets.
        weights: their weights in the fused score.
        former: the mean maps in use, which are returned if others would be refused.

    Raises:
        GalleryUnusable: if the gallery cannot be read, or a template is damaged.
    """
    sums = gallery.sums_by_camera([net.format for net in nets])
    cameras = former.following(nets, sums)
    if not (renewed := cameras.renewed(former)):
        return cameras
    enrolled = read_enrolled(gallery, nets, cameras.names, most=MAX_COHORT)
    cohorts = {
        camera: CameraCohort(ids, [[own[net] for own in maps] for net in range(len(nets))])
        for camera, (ids, maps) in enrolled.items()
    }
    return cameras.measured(renewed, cohorts, sums, weights)


def read_enrolled(
    gallery: Gallery, nets: Sequence[Net], cameras: Collection[str], most: int | None = None
) -> dict[str, tuple[list[str], list[list[VeinMaps]]]]:
    """Reads the enrolled subjects that have templates of every net.

    Args:
        gallery: the gallery.
        nets: the nets.
        cameras: the cameras whose images are read.
        most: number of subjects before each camera after which no more are read; None for all.

    Returns:
        By camera the subjects' ids, and for each subject and net its maps, of each net equally
        many.

    Raises:
        GalleryUnusable: if the gallery cannot be read, or a template is damaged.
    """
    # By number: a subject may change meanwhile.
    found: dict[str, dict[int, tuple[str, list[VeinMaps]]]] = {camera: {} for camera in cameras}
    formats = [net.format for net in nets]
    position, complete = START, False
    while not complete and (most is None or any(len(own) < most for own in found.values())):
        page = gallery.changes(position, formats, _PAGE)
        position, complete = page.position, page.complete
        for camera, own in found.items():
            for number in page.removed:
                own.pop(number, None)
            for index, number in enumerate(page.numbers):
                subject = page.subjects[index]
                # Another camera may need many more pages, which memory could not hold.
                is_full = most is not None and len(own) >= most and number not in own
                if subject.origin != "enrolled" or is_full:
                    continue
                maps = _maps_of(page, index, nets, camera)
                if len(maps[0]):
                    own[number] = subject.subject_id, maps
    return {camera: _split(list(own.values())) for camera, own in found.items()}


def _split(
    chosen: Sequence[tuple[str, list[VeinMaps]]],
) -> tuple[list[str], list[list[VeinMaps]]]:
    return [subject_id for subject_id, _ in chosen], [maps for _, maps in chosen]


def _maps_of(page: Changes, index: int, nets: Sequence[Net], camera: str) -> list[VeinMaps]:
    """Returns the maps of the page's subject `index` before a camera, by net."""
    stored = [
        [
            one
            for owner, one, by in zip(net.owners, net.maps, net.cameras, strict=True)
            if owner == index and by == camera
        ]
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
