"""The gallery: who is enrolled, with which templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.matching.templates import NetKey

Hand = Literal["left", "right"]
Origin = Literal["trained", "enrolled"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One palm that the service knows.

    Attributes:
        subject_id: unique in the gallery.
        name: free text chosen by the operator.
        hand: which hand the palm belongs to, where known.
        origin: "trained" if the nets bring a prototype for it, else "enrolled".
        created_at: aware, UTC.
        template_counts: enrolled templates by `str(NetKey)`, such as {"vgg16/1": 3}.
            Prototypes of trained subjects live with their net and are not counted.
    """

    subject_id: str
    name: str | None
    hand: Hand | None
    origin: Origin
    created_at: datetime
    template_counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Templates:
    """Every enrolled template of one net.

    Attributes:
        subject_ids: row i of `vectors` belongs to `subject_ids[i]`; a subject may own many rows.
        vectors: float32 [K] each, as they were enrolled, laid flat; of different sizes if nets of
            different releases wrote them.
    """

    subject_ids: tuple[str, ...]
    vectors: tuple[NDArray[np.float32], ...]


class SubjectExists(Exception):
    """The subject_id is taken and the caller did not ask to add templates."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} exists already; send add=true to add these images to it, "
            "or choose another subject_id"
        )
        self.subject_id = subject_id


class SubjectUnknown(Exception):
    """No such subject, or it has been erased."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id!r} is not in the gallery; enroll it first")
        self.subject_id = subject_id


class GalleryUnusable(Exception):
    """The store cannot be opened, read or written; the message names it and says what to do."""


class Gallery(Protocol):
    """A durable set of subjects and their templates, safe for concurrent callers.

    Every method raises `GalleryUnusable` if the store fails.
    """

    def revision(self) -> int:
        """A number that changes whenever any process changed subjects or templates; cheap."""
        ...

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """Adds the identities the nets were trained on.

        Only missing ones are added, and an erased one stays erased. Where somebody was enrolled
        under one of these ids before, that subject is left as it is and the prototype is never
        used: it may show another palm.
        """
        ...

    def trained(self) -> frozenset[str]:
        """The trained identities whose prototypes may be used: those not erased."""
        ...

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        templates: Mapping[NetKey, NDArray[np.float32]],
        *,
        add: bool,
    ) -> Subject:
        """Stores a subject's templates, all or nothing.

        Args:
            subject_id: who the templates belong to. The id of an erased trained identity may
                be used again: it becomes an ordinary enrolled subject.
            name: kept as it was if None and the subject exists.
            hand: kept as it was if None and the subject exists.
            templates: float32 [T, ...] for each net, T templates.
            add: whether an existing subject receives the templates as well.

        Raises:
            SubjectExists: if the subject exists and `add` is false.
        """
        ...

    def subject(self, subject_id: str) -> Subject:
        """One subject.

        Raises:
            SubjectUnknown: if there is none of that id.
        """
        ...

    def subjects(self, *, after: str | None, limit: int) -> list[Subject]:
        """Up to `limit` subjects in the order of their ids, those behind `after` only."""
        ...

    def update(self, subject_id: str, changes: Mapping[str, str | None]) -> Subject:
        """Sets `name`, `hand` or both; None clears.

        Raises:
            SubjectUnknown: if there is none of that id.
            ValueError: if `changes` names anything else.
        """
        ...

    def delete(self, subject_id: str) -> None:
        """Erases a subject with its templates, beyond recovery from the store's files.

        Of a trained identity a mark remains, so that its prototype is ignored from then on.

        Raises:
            SubjectUnknown: if there is none of that id.
        """
        ...

    def templates(self, key: NetKey) -> Templates:
        """All enrolled templates of one net, erased subjects excluded."""
        ...

    def close(self) -> None:
        """Releases the store; nothing may be called afterwards."""
        ...
