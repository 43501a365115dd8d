"""The mean maps of all cameras of a site, as one state."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Net
from app.gallery.index.means import Means
from app.matching.cohort import compare_cohorts
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps
from app.matching.mean_map import MapSum
from app.matching.scores import NO_SCORE

UNNAMED = ""
"""The camera of an image for which none was named."""

Sums = Mapping[str, Sequence[MapSum]]
"""By camera, each net's sum of maps; see `Gallery.sums_by_camera`."""


class CameraCohort(NamedTuple):
    """Subjects before one camera, who are compared with each other.

    Attributes:
        subject_ids: the M subjects.
        maps: for each net the maps of each subject.
    """

    subject_ids: Sequence[str]
    maps: Sequence[Sequence[VeinMaps]]


class CameraScales(NamedTuple):
    """Turns one net's scores across two cameras into scores within the probe's.

    Strangers are less alike before two cameras than before one: without this, a threshold that one
    camera needs would refuse too many rightful palms across two.

    Attributes:
        factors: float32 [K], for each camera by its number.
        added: float32 [K], likewise.
    """

    factors: Floats
    added: Floats

    @classmethod
    def between(cls, within: Impostors, across: Impostors) -> Self:
        """Returns the scale of one camera by the impostors within the probe's and across both."""
        factor = within.deviation / across.deviation
        added = within.mean - factor * across.mean
        return cls(np.array([factor], np.float32), np.array([added], np.float32))

    def rescale(self, scores: Floats, cameras: NDArray[np.int16]) -> Floats:
        """Returns scores with templates of the cameras of these numbers, of the same shape."""
        rescaled = scores * self.factors[cameras] + self.added[cameras]
        return np.where(scores == NO_SCORE, NO_SCORE, np.maximum(rescaled, NO_SCORE))


@dataclass(frozen=True, slots=True)
class Cameras:
    """The mean maps of all cameras.

    Attributes:
        none: no mean maps.
        revision: rises by one whenever other mean maps are taken into use.
        own: by camera, the mean maps of its own subjects.
        across: by two cameras in the order of their names, for each net the impostors across them.
    """

    none: Means
    revision: int = 0
    own: Mapping[str, Means] = field(default_factory=dict[str, Means])
    across: Mapping[tuple[str, str], tuple[Impostors, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[Impostors, ...]]
    )

    @classmethod
    def without(cls, nets: Sequence[Net]) -> Self:
        """Returns no mean maps of any camera."""
        return cls(Means.none(nets))

    @property
    def considered(self) -> dict[str, int]:
        """By camera, the number of subjects that could have been in its mean maps."""
        return {camera: means.considered for camera, means in self.own.items()}

    @property
    def names(self) -> list[str]:
        """The cameras that have mean maps of their own, in the order of their names."""
        return sorted(camera for camera in self.own if self.has_own(camera))

    def of(self, camera: str) -> Means:
        """Returns the mean maps to subtract from the maps of a camera's images.

        A camera without mean maps of its own uses those of the camera that has the most subjects.
        """
        return self.own.get(self._used_for(camera), self.none)

    def number_of(self, camera: str) -> int:
        """Returns the number, in `names`, of the camera whose mean maps are used; 0 for none."""
        return self.names.index(self._used_for(camera)) if self.names else 0

    def scales_of(self, camera: str, net: int) -> CameraScales | None:
        """Returns how a net's scores of a camera's probes are scaled; None if they are not."""
        if len(self.names) < 2:
            return None
        used = self._used_for(camera)
        within, same = self.own[used].impostors, Impostors(0.0, 1.0)
        found: list[CameraScales] = []
        for other in self.names:
            across = self.across.get((min(used, other), max(used, other)))
            if across is None or not within:  # itself, or the subjects were erased meanwhile
                found.append(CameraScales.between(same, same))
            else:
                found.append(CameraScales.between(within[net], across[net]))
        factors, added = zip(*found, strict=True)
        return CameraScales(np.concatenate(factors), np.concatenate(added))

    def _used_for(self, camera: str) -> str:
        """Returns the camera whose mean maps are used for a camera."""
        if self.has_own(camera):
            return camera
        return max(self.names, key=lambda one: self.own[one].subjects, default=UNNAMED)

    def has_own(self, camera: str) -> bool:
        """Tells whether a camera has mean maps of its own."""
        return self.own.get(camera, self.none).subjects > 0

    def named(self) -> dict[str, Means]:
        """Returns the mean maps of each named camera that has its own."""
        return {camera: self.own[camera] for camera in self.names if camera != UNNAMED}

    def are_due(self, subjects: Mapping[str, int]) -> bool:
        """Tells whether other mean maps are needed; see `Means.are_due`.

        Args:
            subjects: by camera, the number of subjects that can be in its mean maps now.
        """
        return any(
            self.own.get(camera, self.none).are_due(subjects.get(camera, 0))
            for camera in {*self.own, *subjects}
        )

    def following(self, nets: Sequence[Net], sums: Sums) -> Self:
        """Returns the mean maps of other sums, except where a change is refused.

        Args:
            nets: the nets.
            sums: the sums.
        """
        lost = [MapSum.empty(net.format.shape) for net in nets]  # of a camera without subjects
        own = {
            camera: self.own.get(camera, self.none).following(nets, sums.get(camera, lost))
            for camera in sorted({*self.own, *sums})
        }
        changed = any(
            self.own.get(camera, self.none).maps is not own[camera].maps for camera in own
        )
        return replace(self, revision=self.revision + changed, own=own)

    def renewed(self, former: Self) -> list[str]:
        """Returns the cameras that have other mean maps than before."""
        return [
            camera
            for camera, means in self.own.items()
            if means.subjects and means.maps is not former.own.get(camera, self.none).maps
        ]

    def measured(
        self,
        renewed: Collection[str],
        cohorts: Mapping[str, CameraCohort],
        sums: Sums,
        weights: Sequence[float],
    ) -> Self:
        """Returns these mean maps with the impostors before each camera and across each two.

        Args:
            renewed: the cameras that have other mean maps than before.
            cohorts: some subjects of every camera that has mean maps.
            sums: the sums that the renewed mean maps are of.
            weights: the nets' weights in the fused score.
        """
        own = {
            camera: self.own[camera].measured(cohorts[camera].maps, sums[camera], weights)
            for camera in renewed
        }
        across = {
            (one, other): _measure_across(
                *(cohorts[one], sums[one]), *(cohorts[other], sums[other])
            )
            for one, other in combinations(sorted(cohorts), 2)
            if cohorts[one].subject_ids and cohorts[other].subject_ids  # not erased meanwhile
        }
        return replace(self, own={**self.own, **own}, across=across)


def _measure_across(
    one: CameraCohort,
    its: Sequence[MapSum],
    other: CameraCohort,
    others: Sequence[MapSum],
) -> tuple[Impostors, ...]:
    """Returns the impostors across two cameras by each net; a subject may be before both."""
    same = np.equal.outer(np.array(one.subject_ids), np.array(other.subject_ids))
    found: list[Impostors] = []
    for maps, total, of_other, their in zip(one.maps, its, other.maps, others, strict=True):
        scores = compare_cohorts(maps, total, of_other, their)
        values = scores[~same & ~np.isnan(scores)]
        found.append(Impostors.of_values(values.astype(np.float64)))
    return tuple(found)
