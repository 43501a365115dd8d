"""What a gallery tells of an erasure, and of the files that hold it."""

from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

State = Literal["done", "pending"]
Erased = Literal["subject", "template", "id"]


class Erasure(BaseModel):
    """What was erased, and from which media of the gallery's store."""

    model_config = ConfigDict(frozen=True)

    erasure_id: str = Field(
        description="The erasure's id, 32 hexadecimal digits.",
        examples=["5d1a6e4c0c9f1d2b3a4e5f60710f8c4c"],
    )
    pseudonym: str = Field(
        description="Stands for the subject's id, as in the logs: an HMAC of it, 16 hexadecimal "
        "digits.",
        examples=["c9f1d2b3a4e5f607"],
    )
    erased: Erased = Field(
        description="What was erased: a subject with all its templates, one template, or the "
        "former id of a subject that was renamed.",
        examples=["subject"],
    )
    erased_at: datetime = Field(
        description="When it was erased, UTC.", examples=["2026-11-30T09:00:00Z"]
    )
    database: State = Field(
        description="Whether the database's files hold nothing any more that could decrypt it.",
        examples=["done"],
    )
    log: State = Field(description="The same of the database's write-ahead log.", examples=["done"])


class ErasureCounts(NamedTuple):
    """How many receipts of erasures there are.

    Attributes:
        total: all.
        pending: those of which a medium is pending.
    """

    total: int
    pending: int


class Purged(NamedTuple):
    """What a purge has removed.

    Attributes:
        database: whether no file of the database holds a removed key.
        log: whether its write-ahead log holds none; None if only `Files.find` can tell.
    """

    database: bool
    log: bool | None

    @property
    def is_complete(self) -> bool:
        """Whether another purge could remove nothing more."""
        return self.database and self.log is not False


class Found(NamedTuple):
    """Which marks of removed keys were found, or could not be searched for.

    Attributes:
        database: those in the database's files; None if these may not be read.
        log: those in its write-ahead log, also those that may be in it.
        proves_log: whether the log holds nothing else of an erasure. Otherwise only a purge tells.
    """

    database: set[str] | None
    log: set[str]
    proves_log: bool


class Files(Protocol):
    """The files of a store, from which removed bytes must vanish."""

    @property
    def purges_log(self) -> bool:
        """Whether `purge` empties the write-ahead log, too."""
        ...

    def purge(self, marks: set[str], *, wait: bool, secrets: bool = False) -> Purged:
        """Removes the bytes of removed keys.

        Args:
            marks: those of the removed keys; see `app.gallery.encryption.marks`.
            wait: whether to wait a moment for whoever keeps it from that.
            secrets: whether to remove those of the gallery's former secrets, too.
        """
        ...

    def scrub(self) -> bool:
        """Writes all tables anew, so that no removed byte is left; returns whether it did.

        This takes time and room in proportion to the gallery.
        """
        ...

    def find(self, marks: set[str]) -> Found:
        """Searches every byte for the marks of removed keys."""
        ...
