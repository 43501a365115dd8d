"""What a gallery does with whole subjects: renames, merges and shows all that it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.gallery.erasure import Erasure
from app.gallery.subject import Subject, Template
from app.matching.maps import MapShape

FieldValue = str | Mapping[str, str] | datetime | None
"""A field of a subject that callers set: `metadata` is a mapping, `retain_until` a time."""

Check = Callable[[Subject], None]


def accept(_: Subject) -> None:
    """Accepts every subject."""


@dataclass(frozen=True, slots=True)
class StoredMap:
    """The map of one image by one net, decrypted.

    Attributes:
        number: the number of the template that it belongs to.
        net: the net's name.
        template_id: see `app.matching.templates.MapFormat`.
        shape: its shape; None if no enrolled subject had a map of this format before.
        content: as `VeinMaps.to_bytes` wrote it; empty if it is damaged.
        camera: the camera that took the image.
    """

    number: int
    net: str
    template_id: str
    shape: MapShape | None
    content: bytes
    camera: str


@dataclass(frozen=True, slots=True)
class Record:
    """All that a gallery holds of one subject, as of one moment.

    Attributes:
        subject: its fields.
        templates: its enrolled templates, in the order of enrolment.
        maps: their maps, by template and net.
        erasures: the receipts of its templates and former ids, the oldest first.
    """

    subject: Subject
    templates: list[Template]
    maps: list[StoredMap]
    erasures: list[Erasure]


class Records(Protocol):
    """Whole subjects; every method raises `GalleryUnusable` if the store fails."""

    def now(self) -> datetime:
        """Returns the present time, UTC, by which retention dates pass."""
        ...

    def expired(self, limit: int) -> list[str]:
        """Returns the ids of subjects whose retention date has passed, the earliest first.

        Until they are erased, every method of the gallery but this one and `Gallery.delete` does
        as if they were not there. Nobody can be enrolled under their ids.
        """
        ...

    def rename(self, subject_id: str, new_id: str) -> Erasure:
        """Gives a subject another id, number and key, and destroys the former key.

        Args:
            subject_id: the subject.
            new_id: its new id.

        Returns:
            The receipt of the former id; see `Gallery.delete`.

        Raises:
            SubjectUnknown: if there is no subject of that id.
            SubjectExists: if the new id is taken, or alike another one.
            TrainedFixed: if it is a trained identity.
        """
        ...

    def merge(self, subject_id: str, other: str, check: Check = accept) -> Erasure:
        """Makes the templates of another subject templates of this one, and erases the other.

        All or nothing. The other one's fields are erased with it.

        Args:
            subject_id: the subject that stays.
            other: the subject that is erased.
            check: called with each of both, without its name; whatever it raises keeps both.

        Returns:
            The receipt of the other subject; see `Gallery.delete`.

        Raises:
            SubjectUnknown: if one of both does not exist.
            HandsDiffer: if they are a left and a right hand.
            TrainedFixed: if the other one is a trained identity.
            SameSubject: if both are the same.
        """
        ...

    def read(self, subject_id: str) -> Record:
        """Returns all that is stored of a subject.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...
