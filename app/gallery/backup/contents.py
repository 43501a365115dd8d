"""Backups of a gallery, which are also its export and import; what they hold and bring back."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol


@dataclass(slots=True)
class Contents:
    """What a backup holds, without its templates.

    Attributes:
        revision: the gallery's revision.
        next_number: the number that its next subject or template would have had.
        subjects: the subjects' ids, by number.
        keys: the subjects' keys, likewise; each 32 bytes.
        enrolled_at: when each enrolled subject was enrolled, likewise, as `SUBJECTS` tells it.
        images: the numbers of each subject's templates, by the subject's id.
        receipts: the ids of all erasures before it.
        secrets: the gallery's secrets, by name.
        left_out: number of subjects that lost their keys while it began. The sums may hold them.
    """

    revision: int = 0
    next_number: int = 0
    subjects: dict[int, str] = field(default_factory=dict[int, str])
    keys: dict[int, bytes] = field(default_factory=dict[int, bytes])
    enrolled_at: dict[int, str] = field(default_factory=dict[int, str])
    images: dict[str, set[int]] = field(default_factory=lambda: defaultdict[str, set[int]](set))
    receipts: set[str] = field(default_factory=set[str])
    secrets: dict[str, bytes] = field(default_factory=dict[str, bytes])
    left_out: int = 0


class Later(NamedTuple):
    """What an audit log tells of the time after a backup.

    Attributes:
        erased: pseudonyms of erased subjects.
        thinned: pseudonyms of subjects of whom single templates were erased; of which ones, an
            audit log does not tell.
        revoked: ids of revoked API keys.
        are_keys_reset: whether all API keys were removed.
        moved: pseudonyms of subjects that were renamed, or merged into others, or may have been. An
            audit log does not tell their new ids.
    """

    erased: frozenset[str] = frozenset()
    thinned: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    are_keys_reset: bool = False
    moved: frozenset[str] = frozenset()


class Restored(NamedTuple):
    """What a restore did.

    Attributes:
        subjects: number of subjects that were restored.
        erased: number of those that were left out, because they were erased after the backup.
        thinned: likewise, because single templates of them were erased, and nobody knows which.
        kept: number of subjects that stay as they are in the gallery, because after the backup
            templates of them were erased, or they were renamed or merged.
        dropped: number of subjects that the gallery had, and the backup has not.
        keys_left_out: number of API keys of the backup that were not restored.
        moved: number of restored subjects that were renamed or merged after the backup, by an audit
            log that does not tell their new ids.
    """

    subjects: int
    erased: int
    thinned: int
    kept: int
    dropped: int
    keys_left_out: int
    moved: int


class Written(NamedTuple):
    """What a backup holds.

    Attributes:
        subjects: number of subjects in it.
        left_out: number of those that were erased or changed while it began, and are not in it.
    """

    subjects: int
    left_out: int


class Backups(Protocol):
    """Backups of one gallery.

    Every method raises `GalleryUnusable` if the store fails, or `BackupUnusable` if the backup was
    altered; then nothing was changed.
    """

    def write(self, out: BinaryIO) -> Written:
        """Writes all that the gallery holds at present.

        Other processes go on meanwhile. Who loses its key while the backup begins is left out.
        Whatever is written to `out` must be encrypted.

        Raises:
            GalleryUnusable: if the key of a subject, a sum or a secret is damaged.
        """
        ...

    def is_same(self, contents: Contents) -> bool:
        """Tells whether a backup was made of this gallery, or of an earlier state of it."""
        ...

    def restore(
        self,
        contents: Contents,
        read: Callable[[], AbstractContextManager[BinaryIO]],
        later: Later,
        *,
        replace: bool,
    ) -> Restored:
        """Replaces what the gallery holds by a backup, except what was erased after it.

        All or nothing. Every process that has the gallery open must open it again, also this one.
        If it is the backup's own gallery, its receipts and its API keys stay: they are newer.

        Args:
            contents: what the backup holds.
            read: opens the same backup's rows.
            later: what an audit log tells of the time after the backup.
            replace: whether the gallery may have subjects.

        Raises:
            GalleryUnusable: if it has subjects, and may not or is another gallery.
        """
        ...
