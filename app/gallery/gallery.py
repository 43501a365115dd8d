"""The gallery: who is enrolled, with which templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.matching.templates import NetKey

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
        description='"trained": the nets know it from training; "enrolled": it was added here.',
        examples=["enrolled"],
    )
    created_at: datetime = Field(
        description="When the subject was stored, UTC.", examples=["2026-11-28T00:06:23.374396Z"]
    )
    template_counts: dict[str, int] = Field(
        description="Number of enrolled templates by net and version, each 1 or more. What a net "
        "itself knows of a trained subject is not counted.",
        examples=[{"alexnet/8": 3, "vgg16/8": 3, "vgg19/8": 3}],
    )


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
