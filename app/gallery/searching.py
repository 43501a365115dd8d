"""What finds whose palm a probe is, wherever the gallery's templates are compared."""

from collections.abc import Sequence
from typing import Protocol

from app.gallery.cameras import UNNAMED
from app.gallery.collection import Within
from app.gallery.comparison import Found
from app.gallery.index_state import Forgotten, IndexState, MeanMapState
from app.gallery.subject import Subject
from app.matching.impostors import Impostors
from app.matching.maps import Floats, VeinMaps


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
