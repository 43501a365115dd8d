"""The master key: 32 random bytes that are kept apart from the gallery."""

import logging
import os
import re
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

SIZE = 32  # bytes, as SHA-256 and AES-256 take

_FORMAT = re.compile(rf"[0-9a-fA-F]{{{2 * SIZE}}}")


class MasterKeyUnusable(Exception):
    """The master key cannot be read or created."""


class MasterKeys:
    """The place of the master key; while it is rotated, the new and the old one stand there."""

    def __init__(self, given: str | None, file: Path) -> None:
        """Names the place; reads nothing.

        Args:
            given: the key in hexadecimal digits, if it does not stand in the file.
            file: file with one key or more, each on a line.
        """
        self._given = given
        self._file = file
        self._is_checked = False

    def read(self, *, may_create: bool) -> tuple[bytes, ...]:
        """Returns the master keys, each 32 bytes, at least one; the first one is the newest.

        Args:
            may_create: whether a missing file may be created, for its owner only: never if
                anything is encrypted.

        Raises:
            MasterKeyUnusable: if a key is malformed, or the file can be neither read nor created.
        """
        file = self._file
        if self._given is not None:
            return (_parse(self._given, "PALM_MASTER_KEY"),)
        try:
            if not file.exists() and may_create:
                _create(file)
            self._warn_of_readers()
            return tuple(_parse(line, str(file)) for line in file.read_text("ascii").split() or "-")
        except FileNotFoundError:
            raise MasterKeyUnusable(
                f"the master key {file} is missing, and the gallery cannot be read without it: "
                "restore that file (PALM_MASTER_KEY_FILE) or set PALM_MASTER_KEY; if the key is "
                "lost, enroll everybody into a new gallery"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise MasterKeyUnusable(
                f"the master key {file} cannot be read: {error}; restore the file, make it "
                "readable for the service's user, or set PALM_MASTER_KEY"
            ) from error

    def replace(self, keys: Sequence[bytes]) -> None:
        """Replaces the file's keys at once, unless the key is given by PALM_MASTER_KEY.

        Raises:
            OSError: if the file cannot be written; it is then unchanged.
        """
        if self._given is None:
            with _draft(self._file, keys) as draft:
                os.replace(draft, self._file)
            _sync_folder(self._file.parent)

    def _warn_of_readers(self) -> None:
        """Warns, once, if other users may read the file."""
        mode = self._file.stat().st_mode & 0o777
        if mode & 0o077 and not self._is_checked:
            logger.warning(
                "other users may use the master key %s (mode %o), which decrypts the gallery: "
                "chmod 600 it",
                self._file,
                mode,
            )
        self._is_checked = True


def _parse(text: str, place: str) -> bytes:
    if not _FORMAT.fullmatch(text):
        raise MasterKeyUnusable(f"{place} must hold {2 * SIZE} hexadecimal digits")
    return bytes.fromhex(text)


def _create(file: Path) -> None:
    """Writes a new key, whole or not at all; the first of several processes wins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(file, [secrets.token_bytes(SIZE)]) as draft, suppress(FileExistsError):
        os.link(draft, file)
    _sync_folder(file.parent)


@contextmanager
def _draft(file: Path, keys: Sequence[bytes]) -> Generator[Path]:
    """Writes keys to a new file beside a file; whatever fails, no copy of the keys stays there."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as out:
            out.write("".join(f"{key.hex()}\n" for key in keys))
            out.flush()
            os.fsync(out.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)  # it may have taken the file's place


def _sync_folder(folder: Path) -> None:
    """Waits until a file's new name is on the disk: what the key encrypts must not outlive it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
