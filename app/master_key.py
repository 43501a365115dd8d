"""The master key: 32 random bytes that are kept apart from the gallery."""

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

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
            os.replace(_write_draft(self._file, keys), self._file)
            _sync_folder(self._file.parent)


def _parse(text: str, place: str) -> bytes:
    if not _FORMAT.fullmatch(text):
        raise MasterKeyUnusable(f"{place} must hold {2 * SIZE} hexadecimal digits")
    return bytes.fromhex(text)


def _create(file: Path) -> None:
    """Writes a new key, whole or not at all; the first of several processes wins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _write_draft(file, [secrets.token_bytes(SIZE)])
    try:
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    _sync_folder(file.parent)


def _write_draft(file: Path, keys: Sequence[bytes]) -> Path:
    """Writes keys to a new file beside a file."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as out:
        out.write("".join(f"{key.hex()}\n" for key in keys))
        out.flush()
        os.fsync(out.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    """Waits until a file's new name is on the disk: what the key encrypts must not outlive it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
