"""Calibrates nets on strangers: one case for each mean map, number of templates and of probes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FMRS, Case, comparisons_needed
from app.matching.cohort import compare_cohort
from app.matching.fusion import weighted_sum
from app.matching.impostors import MAX_COHORT
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from training.database.palms import Palms
from training.versions.case import Trials, calibrate
from training.versions.compare import best_of_subject, compare_maps
from training.versions.strangers import MAX_TEMPLATES, Strangers, comparisons

TEMPLATES = (3, 1, MAX_TEMPLATES)
"""Numbers of templates that are calibrated; the weights of a fusion are chosen by the first."""

PROBES = (1, 2)
"""Numbers of probe images that are calibrated."""

MEAN_SUBJECTS = 100
"""Strangers in the mean map, the first ones. As at a site, most probes are of people outside it."""

MIN_STRANGERS = 2 * MIN_SUBJECTS
"""Least number of strangers in a small group, of whom half form the mean map."""

SMALL = 5 * MEAN_SUBJECTS
"""Number of strangers below which a group is small, unless it is the largest."""


_ByCount = dict[int, Floats]
"""Scores by the number of templates."""


class CaseKind(NamedTuple):
    """What a case is calibrated for; see `app.matching.calibration.Case`."""

    mean_map: bool
    templates: int
    probes: int


def choose_cases(strangers: Sequence[Strangers], fmr: float) -> tuple[CaseKind, ...]:
    """Returns the cases in which some camera measures an FMR, in order of calibration.

    Every number of probes has cases of the same numbers of templates.

    Args:
        strangers: for each camera, its strangers; one must measure `fmr` with one image each.
        fmr: the false match rate, in (0, 1].
    """
    mean_maps = (True, False) if has_mean_map(strangers) else (False,)
    templates = [n for n in TEMPLATES if _measures(strangers, n, 1, fmr)]
    probes = [m for m in PROBES if all(_measures(strangers, n, m, fmr) for n in templates)]
    return tuple(CaseKind(*one) for one in product(mean_maps, templates, probes))


def is_small(one: Strangers, cameras: Sequence[Strangers]) -> bool:
    """Returns whether the strangers before one camera are few, and there are more before another.

    Their mean map would hold a large share of each. So half of them form it, and the others are
    compared.
    """
    return len(one) < min(SMALL, max(map(len, cameras)))


def has_mean_map(strangers: Sequence[Strangers]) -> bool:
    """Returns whether there are enough strangers before every camera for a mean map."""
    return all(
        len(one) >= (MIN_STRANGERS if is_small(one, strangers) else MIN_SUBJECTS)
        for one in strangers
    )


def describe_cases(kinds: Sequence[CaseKind]) -> str:
    """Returns the cases in a few words, for a verdict."""
    templates, probes = sorted({k.templates for k in kinds}), sorted({k.probes for k in kinds})
    text = f"calibrated for {_join(templates)} templates and {_join(probes)} probe images"
    if not any(kind.mean_map for kind in kinds):
        text += (
            f", without a mean map, which takes {MIN_STRANGERS} strangers in each folder, "
            f"{MIN_SUBJECTS} in the largest"
        )
    return text


@dataclass(frozen=True, slots=True)
class StrangerMaps:
    """The maps of N strangers by one net.

    Attributes:
        strangers: the strangers.
        templates: maps of their templates.
        probes: maps of their probes.
        name: name of the net, for progress bars.
        outside: whether half of them form the mean map, and the others are compared; see
            `is_small`.
    """

    strangers: Strangers
    templates: VeinMaps
    probes: VeinMaps
    name: str
    outside: bool = False

    @classmethod
    def of_cameras(
        cls, cameras: Sequence[Strangers], maps: Callable[[Palms], VeinMaps], name: str
    ) -> list[Self]:
        """Computes the maps of the strangers before each camera.

        Args:
            cameras: the strangers; small groups are compared `outside`.
            maps: computes maps.
            name: see `StrangerMaps`.
        """
        return [
            cls(one, maps(one.templates), maps(one.probes), name, is_small(one, cameras))
            for one in cameras
        ]

    def scores(self, image: int, templates: Sequence[int], *, mean_map: bool) -> _ByCount:
        """Returns the scores float32 [N, N] by the number of templates, compared once.

        Args:
            image: number of the probe image, from 0; a stranger with fewer gives the last one.
            templates: numbers of templates; a stranger with fewer has all of its own compared.
            mean_map: whether a mean map is subtracted.
        """
        owners = self.strangers.templates.labels
        rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
        mean = self._mean() if mean_map else None
        found = compare_maps(self.probes[self._rows(image)], self.templates, mean, self.name)
        return {
            n: best_of_subject(found[:, rank < n], owners[rank < n], len(self.strangers))
            for n in templates
        }

    def cohort(self) -> Floats | None:
        """Returns the scores [M, M] between the first subjects of the mean map."""
        total = self._sum()
        if total.mean() is None:
            return None
        owners = self.strangers.templates.labels
        most = min(self.mean_subjects, MAX_COHORT)
        return compare_cohort([self.templates[owners == one] for one in range(most)], total)

    @property
    def mean_subjects(self) -> int:
        """Number of strangers in the mean map, the first ones."""
        return min(len(self.strangers) // (2 if self.outside else 1), MEAN_SUBJECTS)

    def compared(self, kind: CaseKind) -> NDArray[np.int64]:
        """Returns the numbers of the strangers who are compared in a case."""
        compared = self.strangers.with_images(kind.templates, kind.probes)
        if self.outside and kind.mean_map:
            compared[: self.mean_subjects] = False
        return np.flatnonzero(compared)

    def _rows(self, image: int) -> NDArray[np.int64]:
        """Returns the row of each stranger's probe image [N]."""
        counts = self.strangers.probe_counts
        return np.cumsum(counts) - counts + np.minimum(image, counts - 1)

    def _mean(self) -> Floats | None:
        return self._sum().mean()

    def _sum(self) -> MapSum:
        owners = self.strangers.templates.labels
        total = MapSum.empty(self.templates.shape)
        for subject in range(self.mean_subjects):
            total += MapSum.of(self.templates[owners == subject])
        return total


def trials_by_case(
    nets: Sequence[Sequence[StrangerMaps]], kinds: Sequence[CaseKind]
) -> Iterator[tuple[CaseKind, list[list[Trials]]]]:
    """Yields every case with its trials, for each net and each style of cameras.

    One mean map is in memory at a time: of 2,500 strangers, 25 MB for each net, style, probe image
    and number of templates.

    Args:
        nets: for each net, its maps of every style.
        kinds: the cases; the first one is yielded first.
    """
    for mean_map in dict.fromkeys(kind.mean_map for kind in kinds):
        own = [kind for kind in kinds if kind.mean_map == mean_map]
        templates = list(dict.fromkeys(kind.templates for kind in own))
        cohorts = [[maps.cohort() if mean_map else None for maps in styles] for styles in nets]
        sums: list[list[_ByCount]] = []
        for probes in range(1, max(kind.probes for kind in own) + 1):
            image = [
                [maps.scores(probes - 1, templates, mean_map=mean_map) for maps in styles]
                for styles in nets
            ]
            sums = [*map(_add, sums, image)] if sums else image
            for kind in (kind for kind in own if kind.probes == probes):
                yield (
                    kind,
                    [_trials_of(*one, kind) for one in zip(nets, sums, cohorts, strict=True)],
                )


def fuse_trials(trials: Sequence[Sequence[Trials]], weights: Sequence[float]) -> list[Trials]:
    """Returns the fused trials of every style.

    Args:
        trials: for each net, its trials of every style.
        weights: one for each net.
    """
    return [_fuse(style, weights) for style in zip(*trials, strict=True)]


def _fuse(nets: Sequence[Trials], weights: Sequence[float]) -> Trials:
    """Returns the fused trials of one style of cameras."""
    cohorts = [one.cohort for one in nets if one.cohort is not None]
    return Trials(
        weighted_sum(weights, [one.scores for one in nets]),
        nets[0].own,
        weighted_sum(weights, cohorts) if cohorts else None,
    )


def calibrate_net(maps: Sequence[StrangerMaps], kinds: Sequence[CaseKind]) -> tuple[Case, ...]:
    """Returns the calibrated cases of one net, from its maps of every style."""
    return tuple(
        calibrate(trials, **kind._asdict()) for kind, (trials,) in trials_by_case([maps], kinds)
    )


def _measures(strangers: Sequence[Strangers], templates: int, probes: int, fmr: float) -> bool:
    """Returns whether the strangers with so many images make enough comparisons.

    Before one camera they must measure `fmr`, and before each the highest of `FMRS`.
    """
    counts = [
        int(one.with_images(templates, probes).sum()) // (2 if is_small(one, strangers) else 1)
        for one in strangers
    ]
    found = [comparisons(count) for count in counts]
    return max(found) >= comparisons_needed(fmr) and min(found) >= comparisons_needed(FMRS[0])


def _trials_of(
    styles: Sequence[StrangerMaps],
    sums: Sequence[_ByCount],
    cohorts: Sequence[Floats | None],
    kind: CaseKind,
) -> list[Trials]:
    """Returns a net's trials of every style among the strangers with the case's images."""
    found: list[Trials] = []
    for maps, sum_of_probes, cohort in zip(styles, sums, cohorts, strict=True):
        kept = maps.compared(kind)
        mean = sum_of_probes[kind.templates] / np.float32(kind.probes)
        chosen = mean if len(kept) == len(mean) else mean[np.ix_(kept, kept)]
        found.append(Trials(chosen, np.arange(len(kept)), cohort))
    return found


def _add(totals: list[_ByCount], image: list[_ByCount]) -> list[_ByCount]:
    """Returns the sums of every style's scores."""
    return [{n: one[n] + other[n] for n in one} for one, other in zip(totals, image, strict=True)]


def _join(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last
