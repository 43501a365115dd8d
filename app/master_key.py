"""The master key: 32 random bytes that are kept apart from the gallery."""

import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

SIZE = 32  # bytes, as SHA-256 and AES-256 take

_FORMAT = re.compile(rf"[0-9a-fA-F]{{{2 * SIZE}}}")


class MasterKeyUnusable(Exception):
    """The master key cannot be read or created."""


def read_master_key(given: str | None, file: Path, *, may_create: bool) -> bytes:
    """Returns the master key, 32 bytes.

    Args:
        given: the key in hexadecimal digits, if it does not stand in the file.
        file: file that holds it; created for its owner only if missing.
        may_create: whether a missing file may be created: never if keys depend on it.

    Raises:
        MasterKeyUnusable: if the key is malformed, or the file can be neither read nor created.
    """
    if given is not None:
        return _parse(given, "PALM_MASTER_KEY")
    try:
        if not file.exists() and may_create:
            _create(file)
        return _parse(file.read_text("ascii").strip(), str(file))
    except FileNotFoundError:
        raise MasterKeyUnusable(
            f"the master key {file} is missing, and the gallery's API keys need it: restore the "
            "file or set PALM_MASTER_KEY; without it they are worthless, and `python -m app keys "
            "reset` removes them"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyUnusable(
            f"the master key {file} cannot be read: {error}; restore the file, make it readable "
            "for the service's user, or set PALM_MASTER_KEY"
        ) from error


def derive_key(master_key: bytes, purpose: str) -> bytes:
    """Returns a key of 32 bytes for one purpose; it tells nothing about those of others."""
    return hmac.digest(master_key, purpose.encode(), "sha256")


def _parse(text: str, place: str) -> bytes:
    if not _FORMAT.fullmatch(text):
        raise MasterKeyUnusable(f"{place} must hold {2 * SIZE} hexadecimal digits")
    return bytes.fromhex(text)


def _create(file: Path) -> None:
    """Writes a new key, whole or not at all; the first of several processes wins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as out:
            out.write(secrets.token_hex(SIZE) + "\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
