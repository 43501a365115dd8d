"""The gallery: the enrolled subjects and their templates."""

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
        description='"trained": the nets were trained on it; "enrolled": /v1/enroll added it.',
        examples=["enrolled"],
    )
    created_at: datetime = Field(
        description="When the subject was stored, UTC.", examples=["2026-11-28T00:06:23.374396Z"]
    )
    template_counts: dict[str, int] = Field(
        description="Number of enrolled templates by net and version, each 1 or more. The "
        "template that a trained subject has from training is not counted.",
        examples=[{"alexnet/8": 3, "vgg16/8": 3, "vgg19/8": 3}],
    )


@dataclass(frozen=True, slots=True)
class Templates:
    """Every enrolled template of one net.

    Attributes:
        subject_ids: the owner of each vector; a subject may own several.
        vectors: float32 [K] each, the enrolled templates, flattened; of different sizes if nets of
            different releases wrote them.
    """

    subject_ids: tuple[str, ...]
    vectors: tuple[NDArray[np.float32], ...]


class SubjectExists(Exception):
    """The subject_id exists and the caller did not ask to add templates to it."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} exists already; send add=true to add these images to it, "
            "or choose another subject_id"
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

    def revision(self) -> int:
        """Returns a number that differs after every change, by any process; cheap to read."""
        ...

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """Adds the identities that the nets were trained on, except the erased ones.

        A subject that was enrolled under one of these ids before stays as it is. The prototype of
        that id is never used, because it may show another palm.
        """
        ...

    def trained(self) -> frozenset[str]:
        """Returns the trained identities that are not erased; their prototypes may be used."""
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
            subject_id: the templates' owner. The id of an erased trained identity may be used
                again; it then is an ordinary enrolled subject.
            name: None keeps an existing subject's name.
            hand: None keeps an existing subject's hand.
            templates: for each net float32 [T, ...], T templates.
            add: whether to add the templates if the subject exists.

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

        The id of a trained identity is kept, so that its prototype is never used again.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def templates(self, key: NetKey) -> Templates:
        """Returns all enrolled templates of one net, without those of erased subjects."""
        ...

    def close(self) -> None:
        """Releases the store; no other method may be called afterwards."""
        ...
