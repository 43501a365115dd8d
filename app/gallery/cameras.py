"""The mean maps of all cameras of a site, as one state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from app.ensemble import Net
from app.gallery.means import Means
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum

UNNAMED = ""
"""The camera of an image for which none was named."""

Sums = Mapping[str, Sequence[MapSum]]
"""By camera, each net's sum of maps; see `Gallery.sums_by_camera`."""


@dataclass(frozen=True, slots=True)
class Cameras:
    """The mean maps of all cameras.

    Attributes:
        none: no mean maps.
        revision: rises by one whenever other mean maps are taken into use.
        own: by camera, the mean maps of its own subjects.
    """

    none: Means
    revision: int = 0
    own: Mapping[str, Means] = field(default_factory=dict[str, Means])

    @classmethod
    def without(cls, nets: Sequence[Net]) -> Self:
        """Returns no mean maps of any camera."""
        return cls(Means.none(nets))

    @property
    def considered(self) -> dict[str, int]:
        """By camera, the number of subjects that could have been in its mean maps."""
        return {camera: means.considered for camera, means in self.own.items()}

    def of(self, camera: str) -> Means:
        """Returns the mean maps to subtract from the maps of a camera's images.

        A camera without mean maps of its own uses those of the camera that has the most subjects.
        """
        if self.has_own(camera):
            return self.own[camera]
        return max(self.own.values(), key=lambda one: one.subjects, default=self.none)

    def has_own(self, camera: str) -> bool:
        """Tells whether a camera has mean maps of its own."""
        return self.own.get(camera, self.none).subjects > 0

    def named(self) -> dict[str, Means]:
        """Returns the mean maps of each named camera that has its own."""
        return {
            camera: means
            for camera, means in sorted(self.own.items())
            if camera != UNNAMED and means.subjects
        }

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
        cohorts: Mapping[str, Sequence[Sequence[VeinMaps]]],
        sums: Sums,
        weights: Sequence[float],
    ) -> Self:
        """Returns these mean maps with the impostors before each camera.

        Args:
            cohorts: by camera that was renewed, for each net the maps of each of M subjects.
            sums: the sums that these mean maps are of.
            weights: the nets' weights in the fused score.
        """
        renewed = {
            camera: self.own[camera].measured(cohort, sums[camera], weights)
            for camera, cohort in cohorts.items()
        }
        return replace(self, own={**self.own, **renewed})
