"""Compares probes with a view of the table: all rows, or in two steps if there are many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from app.gallery.collection import Within
from app.gallery.index.cameras import UNNAMED, CameraScales
from app.gallery.index.rows import RowsView, Slots
from app.gallery.index.view import View
from app.gallery.subject import Subject
from app.matching.calibration import Calibration
from app.matching.hamming import hamming_to_nearest
from app.matching.impostors import Impostors
from app.matching.maps import Floats, Signs, VeinMaps
from app.matching.scores import NO_SCORE, compare_one
from app.matching.similarity import COARSE_SHIFT, SHIFT, agreement, probe_codes

MAX_FULL_BYTES = 200_000_000
"""Bytes that a core compares in 5 ms with AVX-512 and in 20 ms without. More are compared in two
steps."""

CANDIDATES = 128
"""Subjects that coarse maps propose: three images of each by three nets take about 1 ms."""

SUBJECTS_PER_CANDIDATE = 234
"""In larger galleries coarse maps propose one of so many: then the palm's own subject is not among
them in 1 % of the searches of the harshest style; see docs/scaling.md."""

MOST_CANDIDATES = 1024
"""So that a search ends: each takes about 1 ms if its templates are read from the database."""


@dataclass(frozen=True, slots=True)
class Found:
    """Scores of a probe with N subjects: to all, or to the candidates of a large gallery.

    Attributes:
        subjects: the N subjects.
        template_counts: int64 [N], number of images that each is compared with, 1 or more.
        by_net: for each net float32 [N], the mean over the probe's images of the best score with
            any of the subject's templates.
        gallery_size: number of subjects from whom these were chosen.
        impostors: for each net the impostors before the probe's camera; None if no mean map is
            subtracted.
        fused_impostors: the same of the fused score.
        probe_images: number of the probe's images.
        as_of: see `View`.
    """

    subjects: tuple[Subject, ...]
    template_counts: NDArray[np.int64]
    by_net: list[Floats]
    gallery_size: int
    impostors: tuple[Impostors | None, ...]
    fused_impostors: Impostors | None
    probe_images: int
    as_of: datetime | None = None


def count_candidates(subjects: int) -> int:
    """Returns how many subjects coarse maps propose among so many."""
    return min(max(CANDIDATES, subjects // SUBJECTS_PER_CANDIDATE), MOST_CANDIDATES)


def choose_proposer(weights: Sequence[float], calibrations: Sequence[Calibration]) -> int:
    """Returns the index of the net whose coarse maps propose the candidates of a large gallery.

    It is the net of the greatest weight; of several, the one whose scores are clearest.
    """
    return min(range(len(weights)), key=lambda i: (-weights[i], calibrations[i].temperature))


def search_all(
    view: View,
    probes: Sequence[VeinMaps],
    proposer: int,
    within: Within = None,
    *,
    camera: str = UNNAMED,
) -> Found:
    """Compares with all subjects of some collections, or with `count_candidates` of them.

    Args:
        view: the table.
        probes: for each net the maps of the probe's images.
        proposer: index of the net whose coarse maps propose the candidates.
        within: the collections; None for all.
        camera: the camera that took the images.
    """
    among = view.searchable(within)
    known = np.flatnonzero(among)
    most = count_candidates(len(known))
    if len(known) > most and _count_bytes(view, among) > MAX_FULL_BYTES:
        mean = view.means.of(camera).maps[proposer]
        of_coarse = coarse_similarity(
            view.rows[proposer], len(view.subjects), probes[proposer], mean
        )[known]
        known = np.sort(known[np.argpartition(-of_coarse, most)[:most]])
    return search(view, probes, known, among, camera=camera)


def _count_bytes(view: View, among: NDArray[np.bool_]) -> float:
    """Returns about how many bytes one image is compared with, by the subjects' images."""
    share = view.counts[among].sum() / max(view.counts.sum(), 1)
    return share * sum(rows.codes.bits.size for rows in view.rows) * (2 * SHIFT + 1) ** 2


def search(
    view: View,
    probes: Sequence[VeinMaps],
    slots: NDArray[np.int64],
    among: NDArray[np.bool_],
    *,
    camera: str = UNNAMED,
) -> Found:
    """Compares with the subjects in some slots; those erased meanwhile are left out.

    Args:
        view: the table.
        probes: for each net the maps of the probe's images.
        slots: int64 [N], the slots.
        among: bool [S], all slots from which these were chosen.
        camera: the camera that took the images.
    """
    means = view.means.of(camera)
    by_net = [
        _score(rows, probe, mean, view.means.scales_of(camera, net), slots, len(view.subjects))
        for net, (rows, probe, mean) in enumerate(zip(view.rows, probes, means.maps, strict=True))
    ]
    erased = np.array(list(view.erased), np.int64)  # only now, see `View.erased`
    kept = ~np.isin(slots, erased)
    left: list[int] = slots[kept].tolist()
    return Found(
        tuple(subject for slot in left if (subject := view.subjects[slot]) is not None),
        view.counts[slots[kept]].astype(np.int64),
        [one[kept] for one in by_net],
        int(among.sum()) - int(among[_within(erased, view)].sum()),
        means.impostors or (None,) * len(view.rows),
        means.fused_impostors,
        len(probes[0]),
        view.as_of,
    )


def locate(
    view: View, probes: Sequence[VeinMaps], slot: int, *, camera: str = UNNAMED
) -> list[Floats]:
    """Returns where one image agrees with a subject's most similar template.

    Args:
        view: the table.
        probes: for each net the map of the image.
        slot: the subject's slot.
        camera: the camera that took the image.

    Returns:
        For each net float32 [S, S]; see `app.matching.similarity.agreement`. Empty if the subject
        was erased meanwhile.
    """
    found: list[Floats] = []
    for rows, probe, mean in zip(view.rows, probes, view.means.of(camera).maps, strict=True):
        own = rows.codes[np.flatnonzero(rows.owners == slot)]
        if len(own):
            found.append(agreement(Signs.of(probe, mean), own))
    return [] if slot in view.erased else found


def _within(slots: NDArray[np.int64], view: View) -> NDArray[np.int64]:
    """Returns the slots that the view has."""
    return slots[slots < len(view.counts)]


def _score(
    rows: RowsView,
    probe: VeinMaps,
    mean: Floats | None,
    scales_of: CameraScales | None,
    slots: NDArray[np.int64],
    slot_count: int,
) -> Floats:
    """Returns one net's score [N] of a probe's images with the subjects in N slots."""
    wanted = np.zeros(slot_count + 1, np.bool_)  # the last is that of free rows
    wanted[slots] = True
    chosen = np.flatnonzero(wanted[rows.owners])
    every = len(chosen) == len(rows)  # then nothing need be copied
    codes, scales, owners = (
        (rows.codes, rows.scales, rows.owners.copy())
        if every
        else (rows.codes[chosen], rows.scales[chosen], rows.owners[chosen])
    )
    of_images = [
        compare_one(probe[i : i + 1], codes, scales, mean, probe.shape) for i in range(len(probe))
    ]
    if scales_of is not None:
        cameras = rows.cameras if every else rows.cameras[chosen]
        of_images = [scales_of.rescale(scores, cameras) for scores in of_images]
    return _best_by_slot(of_images, owners, slot_count)[slots]


def coarse_similarity(
    rows: RowsView, slot_count: int, probe: VeinMaps, mean: Floats | None
) -> Floats:
    """Returns the approximate similarity [S] of a probe's images to the subjects in all S slots.

    It leaves out the probe's unusable places and its scale, which all templates have in common, and
    the templates' own scales, which are those of full maps.
    """
    owners = rows.owners.copy()  # rows may be erased meanwhile
    signs = Signs.coarse(probe, mean)
    bits = signs.shape.side**2 * signs.shape.channels
    windows = np.stack([probe_codes(one, COARSE_SHIFT).bits for one in signs.each()])
    differing = hamming_to_nearest(rows.coarse, windows).astype(np.float32)
    similar = (1 - differing * np.float32(2 / bits)) / np.sqrt(rows.coarse_share)
    return _best_by_slot(list(similar), owners, slot_count)


def _best_by_slot(of_images: Sequence[Floats], owners: Slots, slot_count: int) -> Floats:
    """Returns the mean over images of the best number of each slot's rows, [S]."""
    total = np.zeros(slot_count, np.float32)
    for found in of_images:
        best = np.full(slot_count + 1, NO_SCORE, np.float32)  # the last is that of free rows
        np.maximum.at(best, owners, found)
        total += best[:-1]
    return total / np.float32(max(len(of_images), 1))
