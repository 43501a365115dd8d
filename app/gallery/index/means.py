"""The mean maps in use: when they change, and when a change is refused."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from app.ensemble import Net
from app.matching.cohort import compare_cohort
from app.matching.fusion import weighted_sum
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.scores import compare_each

logger = logging.getLogger(__name__)

MAX_CHANGE = 0.03
"""Largest mean change of the test pairs' similarities that another mean map may cause.

A mean map removes what all palms share before one camera, and hardly changes how alike two images
of one palm are: by 0.001 to 0.025 on drawn palms of four styles. The "mean" of 20 subjects who are
only two palms changes it by 0.046 to 0.068, which would make the calibrated thresholds wrong.
"""


@dataclass(frozen=True, slots=True)
class Means:
    """The mean maps of all nets, and how alike impostors are after their subtraction.

    Attributes:
        maps: for each net float32 [S, S, C], the mean map to subtract; None if none is.
        subjects: number of subjects in the mean maps; 0 if none is subtracted.
        revision: rises by one whenever other mean maps are taken into use.
        considered: number of subjects that could have been in them when they were chosen.
        impostors: for each net the site's impostors; empty if no mean map is subtracted.
        fused_impostors: the same of the fused score.
    """

    maps: tuple[Floats | None, ...]
    subjects: int
    revision: int
    considered: int
    impostors: tuple[Impostors, ...] = ()
    fused_impostors: Impostors | None = None

    @classmethod
    def none(cls, nets: Sequence[Net]) -> Self:
        """Returns no mean maps."""
        return cls((None,) * len(nets), 0, 0, 0)

    def are_due(self, subjects: int) -> bool:
        """Tells whether other mean maps are needed.

        That is so if the number of subjects has changed by a quarter, or has passed the least
        number that mean maps need.

        Args:
            subjects: number of subjects that can be in the mean maps now.
        """
        crossed = (subjects >= MIN_SUBJECTS) != (self.considered >= MIN_SUBJECTS)
        changed = 4 * abs(subjects - self.considered) >= max(self.considered, 1)
        return crossed or (subjects >= MIN_SUBJECTS and changed)

    def following(self, nets: Sequence[Net], sums: Sequence[MapSum]) -> "Means":
        """Returns the mean maps of other sums; these ones if the change is refused.

        Args:
            nets: the nets.
            sums: each net's sum of maps.
        """
        subjects = min((one.subjects for one in sums), default=0)
        if subjects < MIN_SUBJECTS:
            dropped = int(self.subjects > 0)
            none = self.maps if not dropped else (None,) * len(nets)
            return Means(none, 0, self.revision + dropped, subjects)
        maps = tuple(one.mean() for one in sums)
        for net, new in zip(nets, maps, strict=True):
            # Compared with none, so that every process decides alike, whatever it used before.
            change = _pair_similarities(net, new) - _pair_similarities(net, None)
            if float(np.abs(change).mean()) > MAX_CHANGE:
                logger.error(
                    "the mean map of %d subjects is not used: it changes the similarities of %s's "
                    "test pairs by %.3f, more than %.3f; %s",
                    *(subjects, net.key, float(np.abs(change).mean()), MAX_CHANGE),
                    f"that of {self.subjects} stays in use" if self.subjects else "none is used",
                )
                return replace(self, considered=subjects)
        return Means(maps, subjects, self.revision + 1, subjects)

    def measured(
        self,
        cohort: Sequence[Sequence[VeinMaps]],
        sums: Sequence[MapSum],
        weights: Sequence[float],
    ) -> "Means":
        """Returns these mean maps with the impostors after their subtraction.

        Args:
            cohort: for each net the maps of each of M subjects.
            sums: the sums that these mean maps are of.
            weights: the nets' weights in the fused score.
        """
        if len(cohort[0]) < 2:  # they were erased meanwhile
            return self
        found = [compare_cohort(*one) for one in zip(cohort, sums, strict=True)]
        fused = weighted_sum(weights, found)
        return replace(
            self,
            impostors=tuple(Impostors.of(one) for one in found),
            fused_impostors=Impostors.of(fused),
        )

    def compare_images(self, probes: Sequence[VeinMaps]) -> tuple[list[Floats], Impostors | None]:
        """Compares P images with each other, after the subtraction of these mean maps.

        Args:
            probes: for each net the maps of the images.

        Returns:
            For each net the scores float32 [P, P], and the impostors of the fused score; None if no
            mean map is subtracted.
        """
        scores = [
            compare_each(maps, maps, mean) for maps, mean in zip(probes, self.maps, strict=True)
        ]
        return scores, self.fused_impostors


def _pair_similarities(net: Net, mean: Floats | None) -> Floats:
    """Returns the similarity of each of a net's test pairs; 0 if it has none."""
    pairs = net.test_pairs
    found = [
        compare_each(pairs[i : i + 1], pairs[i + 1 : i + 2], mean).item()
        for i in range(0, len(pairs), 2)
    ]
    return np.array(found or [0], np.float32)
