"""A file that is encrypted in chunks, which can be written and read one after another.

A header of one line is followed by chunks under AES-256-GCM, as in STREAM (Hoang, Reyhanitabar,
Rogaway, Vizar: Online authenticated-encryption and its nonce-reuse misuse-resistance, 2015). The
nonce of a chunk holds its number and whether it is the last one. Each file has a key of its own,
which depends on the whole header. So any altered, missing, added or moved byte is noticed.
"""

import hashlib
import io
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from app.gallery.encryption.cipher import derive_key

MAGIC = b"palm backup 1\n"  # with the version of the format
CHUNK = 2**20  # bytes of plain text; only the last chunk may have fewer

_TAG = 16  # bytes that AES-GCM adds to a chunk
_MOST_HEADER = 4096  # bytes


class BackupUnusable(Exception):
    """A backup cannot be read, or not by this release; the message says what to do."""


class Header(BaseModel):
    """What everybody can read of a backup.

    Attributes:
        backup_id: 32 random hexadecimal digits.
        made_at: when it was begun, UTC.
        schema_revision: revision of the tables.
        key: fingerprint of the key, 16 hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backup_id: str
    made_at: AwareDatetime
    schema_revision: str
    key: str


def new_header(key: bytes, schema_revision: str) -> Header:
    """Returns the header of a new backup under a key of 32 bytes."""
    return Header(
        backup_id=secrets.token_hex(16),
        made_at=datetime.now(UTC),
        schema_revision=schema_revision,
        key=_fingerprint(key),
    )


class SealedWriter(io.RawIOBase):
    """Encrypts what is written to it; `finish` writes the last chunk."""

    def __init__(self, file: BinaryIO, key: bytes, header: Header) -> None:
        """Writes the header.

        Args:
            file: where to write; not closed.
            key: 32 bytes.
            header: what `new_header` returned for the key.
        """
        line = MAGIC + header.model_dump_json().encode() + b"\n"
        file.write(line)
        self._file = file
        self._cipher = _cipher(key, line)
        self._plain = bytearray()
        self._number = 0

    def writable(self) -> bool:
        """Returns true."""
        return True

    def write(self, data: Any, /) -> int:
        """Encrypts bytes; the last of them are kept until `finish`."""
        self._plain += data
        while len(self._plain) > CHUNK:
            self._write_chunk(bytes(self._plain[:CHUNK]), last=False)
            del self._plain[:CHUNK]
        return len(data)

    def finish(self) -> None:
        """Writes the last chunk; a file without it is refused."""
        self._write_chunk(bytes(self._plain), last=True)

    def _write_chunk(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), plain, None))
        self._number += 1


def read_header(file: BinaryIO) -> Header:
    """Reads the header of a backup; nothing in it is authentic before a chunk was read.

    Raises:
        BackupUnusable: if the file does not begin with one.
    """
    return _read_header(file)[0]


def choose_key(header: Header, keys: Sequence[bytes]) -> bytes:
    """Returns the key that a backup was made with.

    Raises:
        BackupUnusable: if it is none of these.
    """
    for key in keys:
        if _fingerprint(key) == header.key:
            return key
    raise BackupUnusable(
        f"the backup of {header.made_at:%Y-%m-%d %H:%M} UTC was made with another key: name the "
        "file that holds that key by --key-file; it is the master key of then, unless the backup "
        "was made with --key-file, too"
    )


class SealedReader(io.RawIOBase):
    """Reads what a `SealedWriter` has encrypted; the end comes only after an authentic last chunk.

    Every `read` raises `BackupUnusable` if the file was altered or cut off.
    """

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        """Reads the header.

        Args:
            file: the backup, at its beginning; not closed.
            key: 32 bytes, see `choose_key`.

        Raises:
            BackupUnusable: if the file has no header.
        """
        _, line = _read_header(file)
        self._file = file
        self._cipher = _cipher(key, line)
        self._plain = memoryview(b"")
        self._next = file.read(CHUNK + _TAG)
        self._number = 0
        self._ended = False

    def readable(self) -> bool:
        """Returns true."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Decrypts the next bytes; returns how many, 0 at the end."""
        while not (self._plain or self._ended):
            self._read_chunk()
        some = self._plain[: len(buffer)]
        buffer[: len(some)] = some
        self._plain = self._plain[len(some) :]
        return len(some)

    def _read_chunk(self) -> None:
        chunk, self._next = self._next, self._file.read(CHUNK + _TAG)
        self._ended = not self._next
        try:
            nonce = _nonce(self._number, last=self._ended)
            self._plain = memoryview(self._cipher.decrypt(nonce, chunk, None))
        except (InvalidTag, ValueError) as error:  # the latter for too few bytes
            raise BackupUnusable(
                f"the backup is damaged or was altered: part {self._number + 1} of 1 MiB, or its "
                "header; nothing was restored. Use another backup"
            ) from error
        self._number += 1


def _read_header(file: BinaryIO) -> tuple[Header, bytes]:
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        newer = magic.startswith(MAGIC.rpartition(b" ")[0])
        raise BackupUnusable(
            "the backup has a format of another release: restore it with the release that made it"
            if newer
            else "the file is no backup that `python -m app backup` has made"
        )
    line = file.readline(_MOST_HEADER)
    try:
        return Header.model_validate(json.loads(line)), magic + line
    except (ValueError, ValidationError) as error:
        raise BackupUnusable("the backup's header is damaged: use another backup") from error


def _cipher(key: bytes, line: bytes) -> AESGCM:
    return AESGCM(derive_key(derive_key(key, "backup"), hashlib.sha256(line).hexdigest()))


def _fingerprint(key: bytes) -> str:
    return derive_key(key, "backup's fingerprint").hex()[:16]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
