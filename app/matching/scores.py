"""Scores: how much more alike two vein maps are than each of them is to other people's.

A blurred or noisy map is more like everybody's, or less, than a sharp one, and so is a map whose
palm or camera is unusual. So each map, probe or template, is compared with a cohort of other palms
once, and a score is the mean of the two numbers of standard deviations by which their similarity
exceeds what each of them has with the cohort. Speaker verification calls this s-norm: P. Kenny,
"Bayesian speaker verification with heavy-tailed priors", Odyssey (2010).

Several templates of a subject: the best one counts. Several probes: the mean counts.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.matching.impostors import Impostors
from app.matching.maps import UNSCALED, Floats, MapShape, Signs, VeinMaps
from app.matching.similarity import (
    NO_SIMILARITY,
    SHIFT,
    Codes,
    encode,
    probe_codes,
    similarities,
)
from app.matching.templates import TrainedTemplates

MIN_COHORT = 50
"""Least number of palms that a cohort needs; with fewer, scores are similarities. The most similar
one of 50 is left out."""

NO_SCORE = -10.0
"""The score of two maps whose usable places overlap too little; strangers score about 0."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Other palms by one net, one map each: the first templates of the net's trained identities.

    Attributes:
        codes: their maps, from which no mean map was subtracted.
        shape: the maps' shape.
        shift: largest shift in places; others than `SHIFT` only for measurements.
    """

    codes: Codes
    shape: MapShape
    shift: int = SHIFT

    @classmethod
    def of(cls, trained: TrainedTemplates, shift: int = SHIFT) -> Self:
        """Takes the first template of each identity."""
        first = np.unique(trained.owners, return_index=True)[1]
        return cls(encode(trained.maps[first], None), trained.maps.shape, shift)

    def scaled(self, maps: VeinMaps) -> VeinMaps:
        """Returns maps with their scales, those that are not scaled yet."""
        if len(self.codes) < MIN_COHORT:
            return maps
        scales = maps.scales.copy()
        for row in np.flatnonzero((scales == UNSCALED).all(axis=1)).tolist():
            alike = self._scale(maps[row : row + 1])
            scales[row] = alike.mean, alike.deviation
        return VeinMaps(maps.values, maps.usable, scales)

    def _scale(self, one: VeinMaps) -> Impostors:
        """Measures a map's similarities to the cohort.

        The highest are left out: the palm may be one of the cohort's.
        """
        windows = probe_codes(Signs.of(one), self.shift)
        found = similarities(windows, self.codes, self.shape, self.shift)
        return Impostors.of_similarities(found[found != NO_SIMILARITY].astype(np.float64))


def scores(similar: Floats, probe: Floats, templates: Floats) -> Floats:
    """Returns the scores of a probe's similarities to templates.

    Args:
        similar: float32 [T], see `app.matching.similarity.similarities`.
        probe: float32 [2], the probe's scale.
        templates: float32 [T, 2], the templates' scales.

    Returns:
        float32 [T] in standard deviations; `NO_SCORE` where there is no similarity.
    """
    by_probe = (similar - probe[0]) / probe[1]
    by_template = (similar - templates[:, 0]) / templates[:, 1]
    found = (by_probe + by_template) / np.float32(2)
    return np.where(similar == NO_SIMILARITY, np.float32(NO_SCORE), found)


def compare_each(
    probes: VeinMaps, templates: VeinMaps, mean: Floats | None, shift: int = SHIFT
) -> Floats:
    """Returns the score of each of P maps with each of T.

    Args:
        probes: P maps.
        templates: T maps of the same net.
        mean: float32 [S, S, C], the mean map to subtract from both; None for none.
        shift: largest shift, in places.

    Returns:
        float32 [P, T]; see `scores`.
    """
    codes, shape = encode(templates, mean), probes.shape
    found = np.empty((len(probes), len(templates)), np.float32)
    for row in range(len(probes)):
        found[row] = compare_one(probes[row : row + 1], codes, templates.scales, mean, shape, shift)
    return found


def compare_one(
    probe: VeinMaps,
    codes: Codes,
    scales: NDArray[np.float32],
    mean: Floats | None,
    shape: MapShape,
    shift: int = SHIFT,
) -> Floats:
    """Returns the score of one map with each of T, float32 [T].

    Args:
        probe: one map.
        codes: the T maps, packed after `mean` was subtracted.
        scales: float32 [T, 2], their scales.
        mean: see `compare_each`.
        shape: shape of the maps.
        shift: largest shift, in places.
    """
    windows = probe_codes(Signs.of(probe, mean), shift)
    return scores(similarities(windows, codes, shape, shift), probe.scales[0], scales)
