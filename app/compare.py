"""Compares palms with the gallery, and regions of interest also as if they had been turned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from app.answers import Vote
from app.clock import Clock
from app.ensemble import Ensemble
from app.gallery.index.comparison import Found
from app.gallery.subject import Subject
from app.matching.maps import Floats, VeinMaps, join_maps
from app.palm.landmarks import DIRECTIONS
from app.palm.reader import Palm
from app.verdict import Verdict, judge, vote_of

UPRIGHT, TURNED = 10 / 13, 1 / 13
"""Shares of the false match rate for the four directions of a square crop: of the upright one, and
of each of the three others."""

LEAST_PROBABLE = 0.01
"""Probability of a direction below which crops are not tried in it."""

Search = Callable[[Sequence[VeinMaps]], Found]
"""Finds subjects by the maps of each net."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The palms of one request, compared.

    Attributes:
        palms: the palms, turned as they were compared.
        probes: for each net their maps.
        found: the scores by net.
        fused: float32 [N], the fused scores.
        verdict: the decision on them.
        votes: each net's own answer.
    """

    palms: Sequence[Palm]
    probes: list[VeinMaps]
    found: Found
    fused: Floats
    verdict: Verdict
    votes: list[Vote]

    @property
    def matched(self) -> Subject | None:
        """The subject that the palms belong to; None unless the decision is match."""
        matches = self.verdict.decision == "match"
        return self.found.subjects[self.verdict.best] if matches else None


def compare(
    ensemble: Ensemble,
    palms: Sequence[Palm],
    probes: list[VeinMaps],
    search: Search,
    fmr_of: Callable[[Found], float],
    clock: Clock,
) -> Comparison:
    """Compares palms; square crops that nobody matches are tried in other probable directions.

    The direction of a hand is known from its fingers. Where the false match rate of a turned crop
    would be below what the nets are calibrated for, crops are not turned.

    Args:
        ensemble: the nets.
        palms: at least one, all of one hand.
        probes: for each net their maps, from `compute_maps`.
        search: finds the subjects.
        fmr_of: returns the false match rate to hold, given the subjects.
        clock: measures the stages.
    """
    lowest = ensemble.fusion.calibration.lowest_fmr
    are_crops = not any(palm.region.hand for palm in palms)

    def may_turn(found: Found) -> bool:
        return are_crops and fmr_of(found) * TURNED >= lowest

    def fmr_upright(found: Found) -> float:
        return fmr_of(found) * (UPRIGHT if may_turn(found) else 1)

    upright = _compare(ensemble, palms, probes, search, fmr_upright, clock)
    if upright.verdict.decision != "no_match" or not may_turn(upright.found):
        return upright
    for quarters in _probable_turns(palms):
        turned = [palm.turned(quarters) for palm in palms]
        maps = compute_maps(ensemble, turned)
        clock.lap("nets")
        found = _compare(ensemble, turned, maps, search, lambda f: fmr_of(f) * TURNED, clock)
        if found.matched:
            return found
    return upright


def _probable_turns(palms: Sequence[Palm]) -> list[int]:
    """Returns the quarters by which crops may be turned, the most probable first."""
    odds = np.mean([palm.region.directions for palm in palms], axis=0)[1:]
    order: list[int] = np.argsort(-odds, kind="stable").tolist()
    return [1 + turn for turn in order if odds[turn] >= LEAST_PROBABLE]


def _compare(
    ensemble: Ensemble,
    palms: Sequence[Palm],
    probes: list[VeinMaps],
    search: Search,
    fmr_of: Callable[[Found], float],
    clock: Clock,
) -> Comparison:
    found = search(probes)
    fmr, fusion = fmr_of(found), ensemble.fusion
    fused = fusion.combine(found.by_net)
    votes = [
        vote_of(net.key, own, judge(own, net.calibration, found, impostors, fmr), found)
        for net, own, impostors in zip(ensemble.nets, found.by_net, found.impostors, strict=True)
    ]
    verdict = judge(fused, fusion.calibration, found, found.fused_impostors, fmr)
    clock.lap("search")
    return Comparison(palms, probes, found, fused, verdict, votes)


def compute_maps(ensemble: Ensemble, palms: Sequence[Palm]) -> list[VeinMaps]:
    """Returns each net's maps of the palms, scaled.

    Raises:
        ArithmeticError: if a map is not finite; every answer would be wrong.
    """
    # One image at a time: an engine keeps memory for the largest batch that it has seen.
    of_palms = [
        [one.within(palm.skin[np.newaxis]) for one in ensemble.maps(palm.pixels[np.newaxis])]
        for palm in palms
    ]
    found = [join_maps(maps) for maps in zip(*of_palms, strict=True)]
    # Only after all nets have run: an engine's threads go on spinning for a moment, and would take
    # the cores that scaling needs.
    return [net.cohort.scaled(maps) for net, maps in zip(ensemble.nets, found, strict=True)]


def warn(
    palms: Sequence[Palm], subject: Subject | None, *, as_of: datetime | None = None
) -> list[str]:
    """Returns what may make the comparison of palms with a subject less reliable.

    Args:
        palms: the palms.
        subject: the subject.
        as_of: when the gallery was last known to be as it was searched; None if it is now.
    """
    names = {"hand": "a photograph of the whole hand", "roi": "a square crop of the palm"}
    captures = subject.captures if subject else []
    enrolled = " and ".join(names[one] for one in captures)
    warnings: list[str] = []
    if as_of is not None:
        warnings.append(
            f"the gallery's database cannot be reached: the gallery was searched as of "
            f"{as_of:%Y-%m-%dT%H:%M:%SZ}; later enrolments and erasures are not seen"
        )
    for position, palm in enumerate(palms, start=1):
        region = palm.region
        if captures and subject and region.capture not in captures:
            warnings.append(
                f"image {position} is {names[region.capture]}, but {subject.subject_id} was "
                f"enrolled from {enrolled}: the score may be lower; enroll both kinds (with "
                "force=true, if the service takes them for two palms)"
            )
        pointing = DIRECTIONS[round(region.square.rotation_deg / 90) % 4]
        if region.hand is None and pointing != "up":
            warnings.append(
                f"the fingers in image {position} point {pointing}: send square crops with the "
                "fingers up"
            )
    return warnings
