"""Names of nets' versions, and formats of their templates."""

from typing import NamedTuple

from app.matching.maps import MapShape


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
