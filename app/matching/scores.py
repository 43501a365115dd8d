"""Scores: how much more alike two vein maps are than each of them is to other people's.

A blurred or noisy map is more like everybody's, or less, than a sharp one, and so is a map whose
palm or camera is unusual. So each map, probe or template, is compared with a cohort of other palms
once, and a score is the mean of the two numbers of standard deviations by which their similarity
exceeds what each of them has with the cohort. Speaker verification calls this s-norm: P. Kenny,
"Bayesian speaker verification with heavy-tailed priors", Odyssey (2010).

Several templates of a subject: the best one counts. Several probes: the mean counts.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np

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

LEAST_DEVIATION = 0.01
"""Least deviation in a scale; the least of the shipped templates is 0.013."""

NO_SCORE = np.float32(-10)
"""The score of two maps whose usable places overlap too little; strangers score about 0."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Other palms by one net, one map each: the first templates of the net's trained identities.

    Attributes:
        codes: their maps, from which no mean map was subtracted.
        shape: the maps' shape.
        mark: a number that tells cohorts apart, from 1 to 2^24; 0 if there are too few palms.
        shift: largest shift in places; others than `SHIFT` only for measurements.
    """

    codes: Codes
    shape: MapShape
    mark: int
    shift: int = SHIFT

    @classmethod
    def of(cls, trained: TrainedTemplates, shift: int = SHIFT) -> Self:
        """Takes the first template of each identity."""
        first = np.unique(trained.owners, return_index=True)[1]
        codes = encode(trained.maps[first], None)
        digest = sha256(codes.bits.tobytes() + codes.places.tobytes()).digest()
        mark = 1 + int.from_bytes(digest[:3]) if len(codes) >= MIN_COHORT else 0
        return cls(codes, trained.maps.shape, mark, shift)

    def scaled(self, maps: VeinMaps) -> VeinMaps:
        """Returns maps with their scales; those of this cohort are not measured again."""
        scales = maps.scales.copy()
        for row in np.flatnonzero(scales[:, 2] != self.mark).tolist():
            scales[row] = self._scale(maps[row : row + 1])
        return VeinMaps(maps.values, maps.usable, scales)

    def _scale(self, one: VeinMaps) -> Floats:
        """Measures a map's similarities to the cohort.

        The highest are left out: the palm may be one of the cohort's.
        """
        if not self.mark:
            return UNSCALED
        windows = probe_codes(Signs.of(one), self.shift)
        found = similarities(windows, self.codes, self.shape, self.shift)
        others = found[found != NO_SIMILARITY].astype(np.float64)
        if len(others) < MIN_COHORT:  # too little of the palm is seen: nothing reaches this scale
            return np.array([-NO_SCORE * 1000, 1, self.mark], np.float32)
        alike = Impostors.of_values(others)
        return np.array([alike.mean, max(alike.deviation, LEAST_DEVIATION), self.mark], np.float32)


def scores(similar: Floats, probe: Floats, templates: Floats) -> Floats:
    """Returns the scores of a probe's similarities to templates.

    Args:
        similar: float32 [T], see `app.matching.similarity.similarities`.
        probe: float32 [3], the probe's scale.
        templates: float32 [T, 3], the templates' scales.

    Returns:
        float32 [T] in standard deviations, at least `NO_SCORE`, which also stands where there is no
        similarity.
    """
    by_probe = (similar - probe[0]) / probe[1]
    by_template = (similar - templates[:, 0]) / templates[:, 1]
    found = (by_probe + by_template) / np.float32(2)
    return np.where(similar == NO_SIMILARITY, NO_SCORE, np.maximum(found, NO_SCORE))


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
    scales: Floats,
    mean: Floats | None,
    shape: MapShape,
    shift: int = SHIFT,
) -> Floats:
    """Returns the score of one map with each of T, float32 [T].

    Args:
        probe: one map.
        codes: the T maps, packed after `mean` was subtracted.
        scales: float32 [T, 3], their scales.
        mean: see `compare_each`.
        shape: shape of the maps.
        shift: largest shift, in places.
    """
    windows = probe_codes(Signs.of(probe, mean), shift)
    return scores(similarities(windows, codes, shape, shift), probe.scales[0], scales)
