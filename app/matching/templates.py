"""Names of nets' versions, formats of their templates, and the trained identities' templates."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import MapShape, VeinMaps


class NetKey(NamedTuple):
    """One version of one net."""

    net: str
    version: int

    def __str__(self) -> str:
        return f"{self.net}/{self.version}"


class MapFormat(NamedTuple):
    """What makes vein maps comparable: equal weights up to the map, and an equal format.

    Attributes:
        net: the net's name.
        template_id: digest of the map's weights and format. Two versions of a net whose maps are
            equal have the same.
        shape: the map's shape.
    """

    net: str
    template_id: str
    shape: MapShape

    def __str__(self) -> str:
        return f"{self.net}:{self.template_id}"


@dataclass(frozen=True, slots=True)
class TrainedTemplates:
    """The templates of the identities that a net was trained on.

    Attributes:
        owners: int32 [T], each template's identity, as an index; every identity has a template.
        maps: the T maps.
    """

    owners: NDArray[np.int32]
    maps: VeinMaps

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [N], the number of templates of each identity."""
        return np.bincount(self.owners)
