"""Compares the subjects of a site with each other, as if each were a stranger to its mean map."""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations_with_replacement
from operator import add

import numpy as np

from app.matching.maps import Floats, VeinMaps, join_maps
from app.matching.mean_map import MapSum
from app.matching.similarity import SHIFT, compare_each

PARTS = 10
"""Parts of a cohort. The mean map of all others is subtracted from two parts' subjects."""


def compare_cohort(subjects: Sequence[VeinMaps], total: MapSum, shift: int = SHIFT) -> Floats:
    """Returns how alike the subjects of a mean map are to each other.

    A mean over n subjects holds a share 1 / n of each, and its subtraction makes these n less alike
    than strangers are, by several times the error that thresholds can bear. So each comparison is
    made under the mean map of the other parts' subjects. This is cross-validation: M. Stone,
    "Cross-validatory choice and assessment of statistical predictions", J. R. Stat. Soc. B 36
    (1974).

    Args:
        subjects: for each of M subjects its maps, at least one.
        total: the sum over all subjects of the mean map, these and any others.
        shift: largest shift in places; others than `SHIFT` only for measurements.

    Returns:
        float32 [M, M], between the subjects' first maps. The diagonal compares each with itself.
    """
    first = join_maps([maps[:1] for maps in subjects])
    parts = np.array_split(np.arange(len(subjects)), min(PARTS, len(subjects)))
    own = [MapSum.of(maps) for maps in subjects]
    shares = [reduce(add, own[part[0] : part[-1] + 1]) for part in parts]
    found = np.empty((len(subjects), len(subjects)), np.float32)
    for one, other in combinations_with_replacement(range(len(parts)), 2):
        rest = total - shares[one]
        if other != one:
            rest = rest - shares[other]
        rows, columns = parts[one], parts[other]
        similar = compare_each(first[rows], first[columns], rest.mean(least=2), shift)
        found[np.ix_(columns, rows)] = similar.T
        found[np.ix_(rows, columns)] = similar
    return found
