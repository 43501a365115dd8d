"""Compares palms with the gallery, and regions of interest also as if they had been turned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.answers import Vote
from app.clock import Clock
from app.ensemble import Ensemble
from app.gallery.comparison import Found
from app.gallery.gallery import Subject
from app.matching.maps import Floats, VeinMaps, join_maps
from app.palm.reader import Palm
from app.verdict import Verdict, judge, vote_of

TURN_MARGIN = 10
"""How much lower the false match rate is for each of the three other directions of a region of
interest. The four together accept 1.3 times as many impostors as one."""

Search = Callable[[Sequence[VeinMaps]], Found]
"""Finds subjects by the maps of each net."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The palms of one request, compared.

    Attributes:
        palms: the palms, turned as they were compared.
        probes: for each net their maps.
        found: the similarities by net.
        fused: float32 [N], the fused similarities.
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
    def best(self) -> Subject | None:
        """The most probable subject; None if there are no subjects."""
        return self.found.subjects[self.verdict.best] if self.found.subjects else None

    @property
    def matched(self) -> Subject | None:
        """The same if the decision is match."""
        return self.best if self.verdict.decision == "match" else None


def compare(
    ensemble: Ensemble,
    palms: Sequence[Palm],
    search: Search,
    fmr_of: Callable[[Found], float],
    clock: Clock,
) -> Comparison:
    """Compares palms; regions of interest that nobody matches are tried in all four directions.

    A hand's direction is known from its fingers.

    Args:
        ensemble: the nets.
        palms: at least one, all of one hand.
        search: finds the subjects.
        fmr_of: returns the false match rate to hold, given the subjects.
        clock: measures the stages.
    """
    upright = _compare(ensemble, palms, search, fmr_of, clock)
    if upright.verdict.decision != "no_match" or any(palm.region.hand for palm in palms):
        return upright
    for quarters in (1, 2, 3):
        turned = [palm.turned(quarters) for palm in palms]
        found = _compare(ensemble, turned, search, lambda f: fmr_of(f) / TURN_MARGIN, clock)
        if found.matched:
            return found
    return upright


def _compare(
    ensemble: Ensemble,
    palms: Sequence[Palm],
    search: Search,
    fmr_of: Callable[[Found], float],
    clock: Clock,
) -> Comparison:
    probes = compute_maps(ensemble, palms)
    clock.lap("nets")
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
    """Returns each net's maps of the palms.

    Raises:
        ArithmeticError: if a map is not finite; every answer would be wrong.
    """
    # One image at a time: an engine keeps memory for the largest batch that it has seen.
    return [
        join_maps(
            [net.maps(palm.pixels[np.newaxis]).within(palm.skin[np.newaxis]) for palm in palms]
        )
        for net in ensemble.nets
    ]


def warn(palms: Sequence[Palm], subject: Subject | None) -> list[str]:
    """Returns what may make the comparison of palms with a subject less reliable."""
    names = {"hand": "a photograph of the whole hand", "roi": "a square crop of the palm"}
    captures = subject.captures if subject else []
    enrolled = " and ".join(names[one] for one in captures)
    warnings: list[str] = []
    for position, palm in enumerate(palms, start=1):
        region = palm.region
        if captures and subject and region.capture not in captures:
            warnings.append(
                f"image {position} is {names[region.capture]}, but {subject.subject_id} was "
                f"enrolled by {enrolled}: genuine similarities may be lower; enroll both kinds"
            )
        if region.hand is None and region.square.rotation_deg:
            warnings.append(
                f"image {position} matches after a turn by {region.square.rotation_deg:.0f} "
                "degrees: send square crops upright, fingers up"
            )
    return warnings
