"""What an index tells of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from app.gallery.cameras import UNNAMED, Cameras
from app.gallery.means import Means
from app.matching.impostors import Impostors


@dataclass(frozen=True, slots=True)
class MeanMapState:
    """The mean maps in use.

    Attributes:
        subjects: number of subjects in those of the unnamed camera; 0 if none is subtracted.
        revision: rises whenever this process takes other mean maps into use.
        impostors: the impostors before that camera, of the fused score; None if none is subtracted.
        cameras: the mean maps of each named camera that has its own.
    """

    subjects: int
    revision: int
    impostors: Impostors | None
    cameras: Mapping[str, Means]

    @classmethod
    def of(cls, cameras: Cameras) -> Self:
        """Returns the state of the mean maps of all cameras."""
        means = cameras.of(UNNAMED)
        return cls(means.subjects, cameras.revision, means.fused_impostors, cameras.named())


class IndexState(NamedTuple):
    """How many subjects the index knows.

    Attributes:
        searchable: those that can be searched.
        without_templates: enrolled subjects that cannot, for lack of templates of a net.
        as_of: see `View`.
    """

    searchable: int
    without_templates: int
    as_of: datetime | None


class Forgotten(NamedTuple):
    """Whether what was erased has left an index.

    Attributes:
        rows: whether no search finds it any more, and its rows are overwritten.
        copies: whether no index that is being rebuilt may hold other rows of it.
    """

    rows: bool
    copies: bool
