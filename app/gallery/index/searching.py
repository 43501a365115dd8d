"""What finds whose palm a probe is, wherever the gallery's templates are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from app.gallery.collection import Within
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.comparison import Found
from app.gallery.index.means import Means
from app.gallery.index.view import IndexState
from app.gallery.subject import Subject
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps


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


class Forgotten(NamedTuple):
    """Whether what was erased has left an index.

    Attributes:
        rows: whether no search finds it any more, and its rows are overwritten.
        copies: whether no index that is being rebuilt may hold other rows of it.
    """

    rows: bool
    copies: bool


class Index(Protocol):
    """Finds whose palm a probe is; safe for concurrent callers, see `GalleryIndex`."""

    @property
    def mean_map(self) -> MeanMapState:
        """See `GalleryIndex.mean_map`."""
        ...

    def refresh(self) -> None:
        """See `GalleryIndex.refresh`."""
        ...

    def forget_erased(self) -> Forgotten:
        """See `GalleryIndex.forget_erased`."""
        ...

    def describe(self) -> IndexState:
        """See `GalleryIndex.describe`."""
        ...

    def subject(self, subject_id: str, within: Within = None) -> Subject:
        """See `GalleryIndex.subject`."""
        ...

    def search(
        self, probes: Sequence[VeinMaps], within: Within = None, *, camera: str = UNNAMED
    ) -> Found:
        """See `GalleryIndex.search`."""
        ...

    def compare_each_other(
        self, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> tuple[list[Floats], Impostors | None]:
        """See `GalleryIndex.compare_each_other`."""
        ...

    def verify(
        self,
        subject_id: str,
        probes: Sequence[VeinMaps],
        within: Within = None,
        *,
        camera: str = UNNAMED,
    ) -> Found | None:
        """See `GalleryIndex.verify`."""
        ...

    def agreement(
        self, subject_id: str, probes: Sequence[VeinMaps], *, camera: str = UNNAMED
    ) -> list[Floats]:
        """See `GalleryIndex.agreement`."""
        ...

    def settle(self) -> None:
        """See `GalleryIndex.settle`."""
        ...

    def close(self) -> None:
        """See `GalleryIndex.close`."""
        ...
