"""The nets that vote together. `app.nets` loads real ones; tests have toys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.templates import Floats, NetKey


class Net(Protocol):
    """A loaded net."""

    @property
    def key(self) -> NetKey:
        """Its name and version."""
        ...

    @property
    def input_px(self) -> int:
        """Side of its input image."""
        ...

    @property
    def identities(self) -> Sequence[str]:
        """The identities it was trained on, in the order of its prototypes."""
        ...

    @property
    def prototypes(self) -> Floats:
        """float32 [C, 2, M, D], one for each of `app.palm.views.template_views`, of unit length."""
        ...

    @property
    def calibration(self) -> Calibration:
        """What its similarities mean."""
        ...

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Maps uint8 [B, H, W, 3] to float32 [B, D], rows of unit length; thread-safe."""
        ...


class NetsDisagree(Exception):
    """The nets cannot vote together; the message names what differs."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Nets of one training, and how their similarities become one.

    Attributes:
        nets: at least one; all know the same identities and take images of one size.
        fusion: with one weight for each net.

    Raises:
        NetsDisagree: if the nets differ in identities or image size.
    """

    nets: tuple[Net, ...]
    fusion: Fusion

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

    @property
    def identities(self) -> Sequence[str]:
        """The identities that the nets were trained on."""
        return self.nets[0].identities

    @property
    def input_px(self) -> int:
        """Side of the nets' input image."""
        return self.nets[0].input_px
