"""The gallery: the enrolled subjects and their templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.keys import KeyStore
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat
from app.palm.capture import Capture

Hand = Literal["left", "right"]
Origin = Literal["trained", "enrolled"]


class Subject(BaseModel):
    """One palm that the service knows."""

    model_config = ConfigDict(frozen=True)

    subject_id: str = Field(description="The subject's id, unique.", examples=["p003"])
    name: str | None = Field(
        description="Free text chosen by the operator, up to 200 characters; null if unknown.",
        examples=["Ada Lovelace"],
    )
    hand: Hand | None = Field(
        description="The hand that the palm belongs to; null if unknown.", examples=["left"]
    )
    origin: Origin = Field(
        description='"trained": the nets were trained on it; "enrolled": /v1/enroll added it.',
        examples=["enrolled"],
    )
    created_at: datetime = Field(
        description="When the subject was stored, UTC.", examples=["2026-11-28T00:06:23.374396Z"]
    )
    template_counts: dict[str, int] = Field(
        description="Number of enrolled templates by net and template id, each 1 or more. The "
        "templates that a trained subject has from training are not counted.",
        examples=[{"alexnet:0c1d2e3f4a5b6c7d": 3, "vgg16:0123456789abcdef": 3}],
    )
    captures: list[Capture] = Field(
        description='How these templates were captured: "hand", "roi" or both. Empty for templates '
        "from training, or of a release that did not record it.",
        examples=[["hand"]],
    )


class Position(NamedTuple):
    """How far a reader has read the changes of a gallery, in order.

    Attributes:
        revision: revision of the last change that was read.
        number: number of the last subject that was read of those with that revision.
    """

    revision: int
    number: int


START = Position(0, 0)
"""The position before the first change."""


@dataclass(frozen=True, slots=True)
class StoredMaps:
    """Maps of one net, as they are stored.

    Attributes:
        owners: int64 [T], rising; each map's subject, as an index.
        maps: T maps as `VeinMaps.to_bytes` wrote them, each subject's in the order of enrolment.
    """

    owners: NDArray[np.int64]
    maps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Subjects that have changed, as they are now, and subjects that were erased.

    Attributes:
        subjects: the changed subjects.
        numbers: the number of each. A number is never used again, an id may be.
        maps: for each format all maps of these subjects.
        removed: numbers of erased subjects; the reader may never have seen some.
        summed: least number of subjects in the formats' sums of maps.
        position: where to go on reading.
        complete: whether these are the last changes at present.
    """

    subjects: tuple[Subject, ...]
    numbers: tuple[int, ...]
    maps: tuple[StoredMaps, ...]
    removed: tuple[int, ...]
    summed: int
    position: Position
    complete: bool


class SubjectExists(Exception):
    """The subject_id exists and the caller did not ask to add templates to it."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} exists already; choose another subject_id, or send add=true "
            "if these images show that subject's palm"
        )


class SubjectAlike(SubjectExists):
    """A subject_id exists that differs only in capital and small letters."""

    def __init__(self, subject_id: str, known: str) -> None:
        Exception.__init__(
            self,
            f"subject {known!r} exists, and {subject_id!r} differs from it only in capital "
            "letters; choose another subject_id",
        )


class SubjectUnknown(Exception):
    """There is no such subject, or it has been erased."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id!r} is not in the gallery; enroll it first")


class GalleryUnusable(Exception):
    """The store cannot be opened, read or written; the message names it and says what to do."""


class Gallery(Protocol):
    """A durable set of subjects and their templates; safe for concurrent callers.

    Every method raises `GalleryUnusable` if the store fails.
    """

    @property
    def keys(self) -> KeyStore:
        """The API keys, in the same store."""
        ...

    def revision(self) -> int:
        """Returns a number that differs after every change, by any process; cheap to read."""
        ...

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """Adds the identities that the nets were trained on, except the erased ones.

        A subject that was enrolled under one of these ids before stays as it is. The templates that
        the nets have of that id are never used, because they may show another palm.
        """
        ...

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        templates: Mapping[MapFormat, VeinMaps],
        *,
        add: bool,
        captures: Sequence[Capture] | None = None,
    ) -> Subject:
        """Stores a subject's templates, all or nothing.

        Args:
            subject_id: the templates' owner. The id of an erased trained identity may be used
                again; it then is an ordinary enrolled subject.
            name: None keeps an existing subject's name.
            hand: None keeps an existing subject's hand.
            templates: the images' maps by each net, before any mean map is subtracted.
            add: whether to add the templates if the subject exists.
            captures: how each of the images was captured; None if that is not known.

        Raises:
            SubjectExists: if the subject exists and `add` is false.
        """
        ...

    def subject(self, subject_id: str) -> Subject:
        """Returns a subject.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def subjects(self, *, after: str | None, limit: int) -> list[Subject]:
        """Returns up to `limit` subjects in the order of their ids, beginning after `after`."""
        ...

    def update(self, subject_id: str, changes: Mapping[str, str | None]) -> Subject:
        """Sets `name`, `hand` or both; None clears.

        Raises:
            SubjectUnknown: if there is no subject of that id.
            ValueError: if `changes` has any other key.
        """
        ...

    def delete(self, subject_id: str) -> None:
        """Erases a subject and its templates, beyond recovery from the store's files.

        Its share of the sums of maps is subtracted. The id of a trained identity is kept, so that
        the templates that the nets have of it are never used again.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def changes(self, after: Position, formats: Sequence[MapFormat], limit: int) -> Changes:
        """Reads what has changed, or from `START` everything, without what was erased.

        Args:
            after: `START`, or the `position` of the changes that were read before.
            formats: formats of the maps to read.
            limit: largest number of subjects to read.
        """
        ...

    def map_sums(self, formats: Sequence[MapFormat]) -> list[MapSum]:
        """Returns for each format the sum over the subjects of origin "enrolled"."""
        ...

    def incomparable(
        self, formats: Sequence[MapFormat], *, after: str | None, limit: int
    ) -> list[Subject]:
        """Returns the subjects that must be enrolled again, in pages like `subjects`.

        These are the subjects of origin "enrolled" that have no template of at least one format.
        """
        ...

    def count_incomparable(self, formats: Sequence[MapFormat]) -> int:
        """Returns the number of subjects that must be enrolled again; see `incomparable`."""
        ...

    def site_report(self) -> str | None:
        """Returns the last calibration at the site, as JSON; None if there is none."""
        ...

    def write_site_report(self, report: str) -> None:
        """Replaces the calibration at the site."""
        ...

    def close(self) -> None:
        """Releases the store; no other method may be called afterwards."""
        ...
