"""Compares the subjects of a site with each other, as if each were a stranger to its mean map.

A mean over n subjects holds a share 1 / n of each, and its subtraction makes these n less alike
than strangers are, by several times the error that thresholds can bear. So the subjects are put
into parts, and two subjects are compared under the mean map of the other parts' subjects. This is
cross-validation: M. Stone, "Cross-validatory choice and assessment of statistical predictions",
J. R. Stat. Soc. B 36 (1974).
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats, VeinMaps, join_maps
from app.matching.mean_map import MapSum
from app.matching.scores import NO_SCORE, compare_each, compare_one
from app.matching.similarity import SHIFT, encode

PARTS = 10
"""Parts of the subjects."""

MANY = 1000
"""Number of subjects from which none is left out of the mean map: a share of 1 / 1,000 does not
matter, and it would take hours."""

Numbers = NDArray[np.int64]


def means_of_others(
    subjects: Sequence[VeinMaps], total: MapSum
) -> Iterator[tuple[Numbers, Numbers, Floats | None]]:
    """Yields every two parts of the subjects with the mean map of the others.

    Args:
        subjects: for each of M subjects its maps, at least one.
        total: the sum over all subjects of the mean map, these and any others.

    Yields:
        int64 [m] and int64 [n], numbers of subjects in rising order, so that every subject meets
        every subject and itself; and the mean map, None if no two others are left.
    """
    if len(subjects) >= MANY:
        everybody = np.arange(len(subjects))
        yield everybody, everybody, total.mean()
        return
    own = [MapSum.of(maps) for maps in subjects]
    parts = np.array_split(np.arange(len(subjects)), min(PARTS, len(subjects)))
    shares = [reduce(add, own[part[0] : part[-1] + 1]) for part in parts]
    for one, rows in enumerate(parts):
        for other, columns in enumerate(parts):
            rest = total - shares[one]
            if other != one:
                rest = rest - shares[other]
            yield rows, columns, rest.mean(least=2)


def compare_cohorts(
    probes: Sequence[VeinMaps],
    of_probes: MapSum,
    templates: Sequence[VeinMaps],
    of_templates: MapSum,
) -> Floats:
    """Returns how alike the subjects before one camera are to those before another one.

    From each map the mean map of its own camera is subtracted, without its part of the subjects.

    Args:
        probes: for each of M subjects before one camera its maps, at least one.
        of_probes: the sum over all subjects before that camera, these and any others.
        templates: for each of N subjects before the other camera its maps.
        of_templates: the sum over all subjects before the other camera.

    Returns:
        float32 [M, N], between the subjects' first maps; NaN as in `compare_cohort`. A subject may
        be among both.
    """
    parts = list(_without_own(templates, of_templates))
    codes = [encode(maps, mean) for maps, mean in parts]
    found = [
        np.concatenate(
            [
                compare_one(maps[i : i + 1], some, own.scales, mean, maps.shape)
                for some, (own, _) in zip(codes, parts, strict=True)
            ]
        )
        for maps, mean in _without_own(probes, of_probes)
        for i in range(len(maps))
    ]
    scores = np.array(found, np.float32)
    scores[scores == NO_SCORE] = np.nan
    return scores


def _without_own(
    subjects: Sequence[VeinMaps], total: MapSum
) -> Iterator[tuple[VeinMaps, Floats | None]]:
    """Yields the first maps of each part of the subjects, with the mean map of all others."""
    for part in np.array_split(np.arange(len(subjects)), min(PARTS, len(subjects))):
        rows: list[int] = part.tolist()
        own = [subjects[i] for i in rows]
        rest = total - reduce(add, map(MapSum.of, own))
        yield join_maps([maps[:1] for maps in own]), rest.mean(least=2)


def compare_cohort(subjects: Sequence[VeinMaps], total: MapSum, shift: int = SHIFT) -> Floats:
    """Returns how alike the subjects of a mean map are to each other.

    Args:
        subjects: for each of M subjects its maps, at least one.
        total: the sum over all subjects of the mean map, these and any others.
        shift: largest shift in places; others than `SHIFT` only for measurements.

    Returns:
        float32 [M, M], between the subjects' first maps. The diagonal compares each with itself.
        NaN where too few places are usable in both: `NO_SCORE` is no score, and a few of it would
        multiply the deviation.
    """
    first = join_maps([maps[:1] for maps in subjects])
    found = np.empty((len(subjects), len(subjects)), np.float32)
    for rows, columns, mean in means_of_others(subjects, total):
        if rows[0] <= columns[0]:  # the other way round, they are about equally alike
            similar = compare_each(first[rows], first[columns], mean, shift)
            similar[similar == NO_SCORE] = np.nan
            found[np.ix_(columns, rows)] = similar.T
            found[np.ix_(rows, columns)] = similar
    return found
