"""Calibration at the site: the false match rate among the enrolled subjects themselves.

The shipped thresholds were measured on drawn palms and drawn cameras. Enrolled subjects are
impostors for one another, on the site's own camera, so comparing their templates shows how often
strangers would really be accepted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.matching.calibration import (
    FMRS,
    Calibration,
    Case,
    Threshold,
    comparisons_needed,
    lowest_reached,
)
from app.matching.cohort import Numbers, means_of_others
from app.matching.impostors import Impostors
from app.matching.intervals import wilson_interval
from app.matching.maps import Floats, VeinMaps, join_maps
from app.matching.mean_map import MapSum
from app.matching.scores import compare_each

MAX_PROBES = 2000
"""Subjects that are compared with all others. More would not lower the rates that can be shown
much, because comparisons that share a palm are not independent."""

MAX_SUSPECTS = 0.1
"""Largest number of suspected pairs as a share of the subjects."""

ROUNDING = 1e-6
"""Added to a threshold's raise, so that rounding does not let equal scores reach it."""

SUSPECT_QUANTILE = 0.05
"""Two subjects are suspected to be one palm if they are as alike as all but the least alike 5 % of
the pairs of images of one subject."""


class SiteRate(BaseModel):
    """How often impostors at the site reach one threshold."""

    model_config = ConfigDict(frozen=True)

    fmr: float = Field(description="The false match rate stated for the threshold, 0 to 1.")
    observed: float = Field(description="Share of the site's comparisons that reach it, 0 to 1.")
    false_matches: int = Field(description="Number of comparisons that reach it.")
    interval: tuple[float, float] = Field(
        description="95 % interval of the observed rate, as if all comparisons were independent."
    )
    raised_by: float = Field(
        description="What `calibrate --write` adds to the threshold so that the observed rate is "
        "the stated one, 0 or more; below 0 only with --force. In deviations of the impostors' "
        "scores if a mean map was subtracted, otherwise in units of the score."
    )


class Suspect(NamedTuple):
    """Two subjects that are probably one palm."""

    first: str
    second: str
    score: float


class SiteReport(BaseModel):
    """Stated against observed false match rates among a site's subjects."""

    model_config = ConfigDict(frozen=True)

    created_at: datetime = Field(description="When it was measured, UTC.")
    template_ids: tuple[str, ...] = Field(
        description="The nets and their template ids, in their order.",
        examples=[["alexnet:0c1d2e3f4a5b6c7d", "vgg16:0123456789abcdef"]],
    )
    calibration: str = Field(
        description="Digest of the shipped thresholds that the amounts are added to.",
        examples=["5f1c0a9be8d24371"],
    )
    weights: tuple[float, ...] = Field(
        description="Weights of the nets in the fused score, each 0 to 1."
    )
    mean_map: bool = Field(description="Whether the thresholds are those with a mean map.")
    subjects: int = Field(description="Number of enrolled subjects that were compared.")
    comparisons: int = Field(
        description="Number of comparisons of one subject's image with another's templates."
    )
    rates: tuple[SiteRate, ...] = Field(
        min_length=1, description="In the order of falling FMR; none below 3 / comparisons."
    )
    suspect_pairs: int = Field(
        description="Number of pairs of subjects that are probably one palm; they are excluded."
    )

    def apply(self, calibration: Calibration) -> Calibration:
        """Returns the calibration with its thresholds raised as this report says.

        Only the cases with a mean map are raised if one was subtracted here, and only those without
        if none was. Below the lowest rate that was measured, thresholds are raised as at that rate.
        They are lowered only at those rates, for one probe image.
        """
        measured = np.log10([rate.fmr for rate in self.rates])[::-1]
        amounts = np.array([rate.raised_by for rate in self.rates])[::-1]
        cases: list[Case] = []
        for case in calibration.cases:
            fmrs = np.log10([threshold.fmr for threshold in case.thresholds])
            raised_by = np.interp(fmrs, measured, amounts)
            lowest = np.where((case.probes == 1) & (fmrs >= measured[0]), -np.inf, 0.0)
            raised = _raise(case, np.maximum(raised_by, lowest))
            same = case.mean_map == self.mean_map
            cases.append(replace(case, thresholds=raised) if same else case)
        return Calibration(tuple(cases))

    def keep_raised(self, former: "SiteReport") -> "SiteReport":
        """Returns this report with no amount below that of a former one of the same thresholds.

        Fewer subjects, or others, may not need what was measured before. Rates that only the former
        report has are kept.
        """
        if former.calibration != self.calibration or former.template_ids != self.template_ids:
            return self
        before = {rate.fmr: rate.raised_by for rate in former.rates}
        rates = [
            rate.model_copy(update={"raised_by": max(rate.raised_by, before.get(rate.fmr, 0.0), 0)})
            for rate in (*self.rates, *former.rates[len(self.rates) :])
        ]
        return self.model_copy(update={"rates": tuple(rates)})


def digest(calibration: Calibration) -> str:
    """Returns 16 hex digits that differ between calibrations."""
    return sha256(repr(calibration).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The templates of a site's N subjects, by one net.

    Attributes:
        maps: for each subject its maps.
        total: the sum over the subjects of the mean map; None if none is subtracted.
    """

    maps: Sequence[VeinMaps]
    total: MapSum | None

    def parts(self) -> Iterator[tuple[Numbers, Numbers, Floats | None]]:
        """Yields the subjects that are compared under one mean map; see `means_of_others`."""
        if self.total is not None:
            return means_of_others(self.maps, self.total)
        everybody = np.arange(len(self.maps))
        return iter([(everybody, everybody, None)])


def measure_site(
    subject_ids: Sequence[str],
    enrolled: Sequence[Enrolled],
    template_ids: Sequence[str],
    weights: Sequence[float],
    calibration: Calibration,
    *,
    impostors: Impostors | None = None,
    may_lower: bool = False,
) -> tuple[SiteReport, list[Suspect]]:
    """Compares every subject's first image with the templates of all others.

    Args:
        subject_ids: the N subjects.
        enrolled: their templates, for each net.
        template_ids: the nets' formats.
        weights: the nets' weights in the fused score.
        calibration: the shipped calibration of the fused score.
        impostors: the site's impostors, if a mean map is subtracted; None if none is.
        may_lower: whether a threshold may be lower than the shipped one.

    Returns:
        The report, and the pairs of subjects that are probably one palm. The report does not name
        them, so that it can outlive the erasure of a subject.

    Raises:
        ValueError: if there are too few subjects to measure any rate.
    """
    needed = comparisons_needed(FMRS[0])
    if len(subject_ids) * (len(subject_ids) - 1) < needed:
        raise ValueError(
            f"{len(subject_ids)} enrolled subjects make too few comparisons with each other to "
            f"measure a false match rate, {needed} are needed: enroll more"
        )
    scale = impostors if calibration.has_mean_map else None
    fused, genuine = _fused(enrolled, weights)
    counts = np.array([len(maps) for maps in enrolled[0].maps])
    suspects = _suspects(fused, genuine, subject_ids)
    compared = ~np.isnan(fused)
    if compared.sum() < needed:
        raise ValueError(
            f"without the {len(suspects)} pairs of subjects that are probably one palm, "
            f"{compared.sum()} comparisons are left, {needed} are needed: erase one of each pair, "
            f"such as {suspects[0].first} or {suspects[0].second}"
        )
    rates: list[SiteRate] = []
    for fmr in FMRS:
        if compared.sum() < comparisons_needed(fmr):
            break
        limits = calibration.at(fmr, counts, probes=1, impostors=scale)
        excess = (fused - limits.scores) / (scale.deviation if scale else 1.0)
        rates.append(_rate(fmr, excess[compared], may_lower=may_lower))
    report = SiteReport(
        created_at=datetime.now(UTC).replace(microsecond=0),
        template_ids=tuple(template_ids),
        calibration=digest(calibration),
        weights=tuple(weights),
        mean_map=scale is not None,
        subjects=len(subject_ids),
        comparisons=int(compared.sum()),
        rates=tuple(rates),
        suspect_pairs=len(suspects),
    )
    return report, suspects


def _fused(
    enrolled: Sequence[Enrolled], weights: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the scores of each subject's first image.

    Returns:
        float64 [P, N] to the subjects' templates, NaN to its own, and float64 [G] to the other
        images of its own subject.
    """
    subjects = enrolled[0].maps
    fused = np.zeros((min(len(subjects), MAX_PROBES), len(subjects)))
    genuine = [np.zeros(len(maps) - 1) for maps in subjects[: len(fused)]]
    for net, weight in zip(enrolled, weights, strict=True):
        for rows, columns, mean in net.parts():
            probes: list[int] = rows[rows < len(fused)].tolist()
            of: list[int] = columns.tolist()
            first = join_maps([net.maps[i][:1] for i in probes])
            found = weight * compare_each(first, join_maps([net.maps[i] for i in of]), mean)
            starts = np.cumsum([0, *(len(net.maps[i]) for i in of)])
            fused[np.ix_(probes, of)] += np.maximum.reduceat(found, starts[:-1], axis=1)
            if probes[0] == of[0]:  # a part with itself
                for row, i in enumerate(probes):
                    genuine[i] += found[row, starts[row] + 1 : starts[row + 1]]
    np.fill_diagonal(fused, np.nan)
    return fused, np.concatenate(genuine)


def _suspects(
    fused: NDArray[np.float64], genuine: NDArray[np.float64], subject_ids: Sequence[str]
) -> list[Suspect]:
    """Finds pairs of subjects that are probably one palm, and removes them from `fused`.

    If they are more than a share of `MAX_SUSPECTS`, the nets do not separate these palms: then the
    pairs are false matches, and none is removed.
    """
    if not len(genuine):
        return []
    found: dict[tuple[int, int], float] = {}
    rows, columns = np.nonzero(fused >= np.quantile(genuine, SUSPECT_QUANTILE))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        pair = (min(row, column), max(row, column))
        found[pair] = max(found.get(pair, -np.inf), float(fused[row, column]))
    if len(found) > max(MAX_SUSPECTS * len(subject_ids), 1):
        return []
    for first, second in found:
        fused[first, second] = np.nan
        if second < len(fused):
            fused[second, first] = np.nan
    return [Suspect(subject_ids[i], subject_ids[j], value) for (i, j), value in found.items()]


def _rate(fmr: float, excess: NDArray[np.float64], *, may_lower: bool) -> SiteRate:
    """Returns a rate from every comparison's score minus its threshold."""
    false_matches = int((excess >= 0).sum())
    raised_by = float(lowest_reached(excess, [fmr])[0]) + ROUNDING
    return SiteRate(
        fmr=fmr,
        observed=false_matches / len(excess),
        false_matches=false_matches,
        interval=wilson_interval(false_matches, len(excess)),
        raised_by=raised_by if may_lower else max(raised_by, 0.0),
    )


def _raise(case: Case, amounts: NDArray[np.float64]) -> tuple[Threshold, ...]:
    """Returns a case's thresholds raised by the amounts, none lower than that of a higher rate."""
    raised = [threshold.score for threshold in case.thresholds] + amounts
    risen = np.maximum.accumulate(raised)
    return tuple(
        replace(threshold, score=float(score))
        for threshold, score in zip(case.thresholds, risen, strict=True)
    )
