"""What a gallery refuses, and its failure."""

from collections.abc import Sequence

from app.gallery.erasure import Erasure

ROTATION_UNFINISHED = (
    "if a rotation of the master key was interrupted, every intact subject looks the same: finish "
    "it first, by the same command as before; otherwise "
)
"""Precedes the advice to erase what cannot be decrypted: it may be under a key that comes yet."""


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


class SubjectTaken(SubjectExists):
    """A subject_id, or one that is alike, is a subject's whom the caller may not see."""

    def __init__(self, subject_id: str) -> None:
        Exception.__init__(
            self,
            f"subject {subject_id!r} exists already, or one that differs only in capital letters; "
            "choose another subject_id",
        )


class CollectionDiffers(Exception):
    """The subject is in another collection than the one that was named."""

    def __init__(self, subject_id: str, known: str) -> None:
        super().__init__(
            f"subject {subject_id!r} is in the collection {known!r}: leave collection out, or "
            "move the subject first (PATCH)"
        )


class SubjectExpired(SubjectExists):
    """The subject_id, or one that is alike, is a subject's whose retention date has passed."""

    def __init__(self, subject_id: str) -> None:
        Exception.__init__(
            self,
            f"subject {subject_id!r}, or one that differs only in capital letters, is past its "
            "retention date and about to be erased; try again in a minute, or choose another "
            "subject_id",
        )


class IdTaken(SubjectExists):
    """A subject is to get the id of another one."""

    def __init__(self, subject_id: str) -> None:
        Exception.__init__(
            self,
            f"subject {subject_id!r} exists already; choose another subject_id, or merge the two "
            "if they are one palm",
        )


class TrainedFixed(Exception):
    """What is asked for would take away the id that a trained identity has in the nets."""

    def __init__(self, subject_id: str, change: str) -> None:
        super().__init__(
            f"the nets were trained on {subject_id!r}, which can therefore not {change}; enroll "
            "the palm under an id of its own, or erase the identity with confirm=true"
        )


class SameSubject(Exception):
    """A subject is to be merged into itself."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"{subject_id!r} cannot be merged into itself; name another subject")


class HandsDiffer(Exception):
    """Two subjects that are to be one are a left and a right hand."""

    def __init__(self, subject_id: str, other: str) -> None:
        super().__init__(
            f"{other!r} and {subject_id!r} are a left and a right hand, which are two subjects; "
            "PATCH the hand of one if it is wrong"
        )


class SubjectUnknown(Exception):
    """There is no such subject, or it has been erased."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id!r} is not in the gallery; enroll it first")


class TemplatesMissing(Exception):
    """The subject is known, but lacks a template of at least one net in service."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} has no templates of the nets in service: enroll it again "
            "with add=true"
        )


class TemplateUnknown(Exception):
    """The subject has no such template."""

    def __init__(self, subject_id: str, number: int) -> None:
        super().__init__(
            f"subject {subject_id!r} has no template {number}; GET its templates for their numbers"
        )


class LastTemplate(Exception):
    """The template is the only one of an enrolled subject."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"it is the last template of subject {subject_id!r}: erase the subject instead, or "
            "enroll another image first"
        )


class ErasureUnknown(Exception):
    """There is no erasure of this id."""

    def __init__(self, erasure_id: str) -> None:
        super().__init__(
            f"there is no erasure {erasure_id!r:.80}; the answer to DELETE holds the erasure_id"
        )


class RequestDiffers(Exception):
    """Another request was sent with the same idempotency key."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was sent with another request before: send a new one with every "
            "new request, and the same one only to repeat a request"
        )


class GalleryUnusable(Exception):
    """The store cannot be opened, read or written; the message names it and says what to do."""


class GalleryBusy(GalleryUnusable):
    """Another program kept the store locked for too long; nothing was changed."""


class GalleryUnreachable(GalleryUnusable):
    """The store cannot be reached now; it can be used again as soon as it is back.

    Attributes:
        is_logged: whether the log tells of this outage already.
    """

    def __init__(self, reason: str, *, is_logged: bool = False) -> None:
        super().__init__(reason)
        self.is_logged = is_logged


class NotPurged(GalleryUnusable):
    """Erased bytes may still be in the store's files, whatever the receipts say.

    Attributes:
        erasures: the receipts.
    """

    def __init__(self, reason: str, erasures: Sequence[Erasure]) -> None:
        super().__init__(reason)
        self.erasures = list(erasures)
