"""Other ways to compare maps than the service's, to measure what each choice is worth."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.matching.maps import VeinMaps
from app.matching.scores import Cohort
from app.matching.similarity import SHIFT
from app.matching.templates import TrainedTemplates

Channels = Literal["all", "local", "wide"]


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How maps are compared; the defaults are the service's.

    Attributes:
        shift: largest shift in places.
        channels: all, or only those of the early (local) or of the late (wide) layer.
        mask: whether unusable places are left out.
        cohort: whether maps are compared by scores; else by similarities.
    """

    shift: int = SHIFT
    channels: Channels = "all"
    mask: bool = True
    cohort: bool = True

    @property
    def are_calibrated(self) -> bool:
        """Whether the shipped thresholds hold for these maps."""
        return self == MapOptions()

    def require_valid(self, side: int, name: str) -> None:
        """Checks that maps overlap at the shift.

        Args:
            side: places on a side of the maps.
            name: name of the net, for the message.

        Raises:
            ValueError: if the shift is below 0, or half of the side or more.
        """
        if not 0 <= 2 * self.shift < side:
            raise ValueError(
                f"--shift {self.shift} does not fit the map of {name}, {side} x {side} places: "
                f"choose 0 to {(side - 1) // 2}"
            )

    def apply(self, maps: VeinMaps) -> VeinMaps:
        """Returns the maps with the chosen channels and usable places, not scaled.

        The first half of a net's channels is local, the other wide; see `training.nets.maps`.
        """
        half = maps.shape.channels // 2
        chosen = {"all": slice(None), "local": slice(half), "wide": slice(half, None)}
        usable = maps.usable if self.mask else np.ones_like(maps.usable)
        return VeinMaps(maps.values[..., chosen[self.channels]], usable)

    def apply_and_scale(self, maps: VeinMaps, trained: TrainedTemplates) -> VeinMaps:
        """Returns the maps as `apply`, scaled by the cohort's maps after the same, if at all."""
        if self.are_calibrated:
            return maps
        if not self.cohort:
            return self.apply(maps)
        cohort = TrainedTemplates(trained.owners, self.apply(trained.maps))
        return Cohort.of(cohort, self.shift).scaled(self.apply(maps))

    def describe(self) -> str:
        """Returns what differs from the service, for a report; empty if nothing does."""
        found: list[str] = []
        if self.shift != SHIFT:
            found.append(f"maps are shifted by up to {self.shift} places instead of {SHIFT}")
        if self.channels != "all":
            found.append(f"only the {self.channels} channels are compared")
        if not self.mask:
            found.append("unusable places are compared, too")
        if not self.cohort:
            found.append("similarities are compared, not scores")
        return ", ".join(found)
