"""The nets that vote together, and the protocol of a net."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.maps import VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey, TrainedTemplates


class Net(Protocol):
    """A loaded net."""

    @property
    def key(self) -> NetKey:
        """Name and version."""
        ...

    @property
    def input_px(self) -> int:
        """Side of the input image."""
        ...

    @property
    def format(self) -> MapFormat:
        """The format of its maps."""
        ...

    @property
    def identities(self) -> Sequence[str]:
        """The identities that it was trained on."""
        ...

    @property
    def trained(self) -> TrainedTemplates:
        """The templates of these identities."""
        ...

    @property
    def cohort(self) -> Cohort:
        """Other palms, with which every map is compared to find its scale."""
        ...

    @property
    def test_pairs(self) -> VeinMaps:
        """Maps of test images; rows 2 i and 2 i + 1 are of one palm."""
        ...

    @property
    def calibration(self) -> Calibration:
        """The meaning of its scores."""
        ...

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        """Computes the vein maps of uint8 [B, H, W, 3], not scaled yet; thread-safe.

        Raises:
            ArithmeticError: if a map is not finite.
        """
        ...


class NetsDisagree(Exception):
    """The nets cannot vote together; the message names what differs."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Nets that vote together, and the fusion of their scores.

    Attributes:
        nets: at least one; all have the same identities and the same input size.
        fusion: with one weight for each net, in their order.
        together: computes all nets' maps of uint8 [B, H, W, 3], in their order, as `Net.maps` does;
            None runs net after net.
        precision: in which the engine computes: f32, bf16 or int8.

    Raises:
        NetsDisagree: if the nets differ in identities or image size.
    """

    nets: tuple[Net, ...]
    fusion: Fusion
    together: Callable[[NDArray[np.uint8]], Sequence[VeinMaps]] | None = None
    precision: str = "f32"

    def __post_init__(self) -> None:
        """Compares the nets with the first."""
        first = self.nets[0]
        for net in self.nets:
            if tuple(net.identities) != tuple(first.identities):
                raise NetsDisagree(
                    f"{net.key} and {first.key} were trained on different identities: "
                    "serve nets of one training"
                )
            if net.input_px != first.input_px:
                raise NetsDisagree(
                    f"{net.key} takes {net.input_px} px, {first.key} {first.input_px} px: "
                    "serve nets of one size"
                )

    def maps(self, images: NDArray[np.uint8]) -> Sequence[VeinMaps]:
        """Computes each net's vein maps of uint8 [B, H, W, 3], not scaled yet; thread-safe.

        Raises:
            ArithmeticError: if a map is not finite.
        """
        if self.together:
            return self.together(images)
        return [net.maps(images) for net in self.nets]

    @property
    def identities(self) -> Sequence[str]:
        """The identities that the nets were trained on."""
        return self.nets[0].identities

    @property
    def formats(self) -> list[MapFormat]:
        """The formats of the nets' maps, in their order."""
        return [net.format for net in self.nets]

    @property
    def input_px(self) -> int:
        """Side of the nets' input image."""
        return self.nets[0].input_px
