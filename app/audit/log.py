"""The audit log: who did what, when, with which outcome. Knows no HTTP and no SQL.

A line is a JSON object. It holds its number, the hash of the line before, and a MAC of itself under
a secret key: nobody without that key can alter, forge, drop or reorder lines
unnoticed. The head, a file beside the log, holds the number and the hash of the last line, so that
lines that are missing at the end are noticed, and the chain goes on in a new file when the log is
moved away. `app.audit.check` checks all of it.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NO_DIGEST = "0" * 64  # before the first line

_SEALED = re.compile(rb'(\{.*),"mac":"([0-9a-f]{64})"\}', re.DOTALL)
_TAIL = 8192  # bytes; lines have less than 2,000

Event = Mapping[str, str | int | None]
"""What a line tells; values never hold an image, a template or the name of a person or file."""


class AuditUnusable(Exception):
    """The audit log cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the chain.

    Attributes:
        number: the line's number, from 1; 0 is before the first line.
        digest: SHA-256 of the line, 64 hexadecimal digits.
    """

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


START = Mark(0, NO_DIGEST)


def head_of(file: Path) -> Path:
    """Returns the file that holds the end of a log's chain."""
    return file.with_name(f"{file.name}.head")


def digest_of(line: bytes) -> str:
    """Returns the hash of a line without its end."""
    return hashlib.sha256(line).hexdigest()


def seal(entry: Mapping[str, Any], key: bytes) -> bytes:
    """Returns an object as one line of JSON, without its end, that holds a MAC of the rest."""
    body = json.dumps(entry, separators=(",", ":"))[:-1].encode()
    return body + b',"mac":"' + hmac.digest(key, body, "sha256").hex().encode() + b'"}'


def unseal(line: bytes, key: bytes) -> dict[str, Any] | None:
    """Returns the object in a line that `seal` made with the key; None for any other line."""
    match = _SEALED.fullmatch(line)
    if match is None:
        return None
    mac = hmac.digest(key, match[1], "sha256").hex().encode()
    return json.loads(match[1] + b"}") if hmac.compare_digest(mac, match[2]) else None


def read_head(content: bytes, key: bytes) -> Mark | None:
    """Returns the end of the chain from a head's content; None if the content is damaged."""
    entry = unseal(content.partition(b"\n")[0], key)
    return Mark(entry["head"], entry["digest"]) if entry and "head" in entry else None


class AuditLog:
    """Appends to the audit log; safe for threads, and for the processes of one machine."""

    def __init__(self, file: Path | None, key: bytes) -> None:
        """Creates the log; touches no file.

        Args:
            file: the log, created with its folder and its head if missing; None writes nothing.
            key: 32 bytes that are kept apart from the log; see
                `app.gallery.encryption.secret_keys`.
        """
        self._file = file
        self._key = key
        self.is_failing = False
        """Whether the last line could not be written."""

    @property
    def file(self) -> Path | None:
        """The log; None if none is kept."""
        return self._file

    def append(self, event: Event, *, durable: bool) -> None:
        """Appends a line, whole or not at all.

        Args:
            event: what the line tells besides its number and the time; without values of None.
            durable: whether to wait until the disk has the line. The others survive a killed
                process, but not always a power failure.

        Raises:
            AuditUnusable: if the line cannot be written.
        """
        if self._file is None:
            return
        try:
            self._append(self._file, event, durable=durable)
        except OSError as error:
            self.is_failing = True
            raise AuditUnusable(
                f"audit log {self._file} cannot be written: {error}; make room on its disk, and "
                "make the file, its .head and its folder writable for the service's user"
            ) from error
        self.is_failing = False

    @contextmanager
    def change(self, event: Event) -> Generator[dict[str, str | int]]:
        """Records a change that no request asks for, before and after it is made.

        A change that fails may have been made: the line names the kind of the error.

        Yields:
            What the second line tells besides; to be filled.

        Raises:
            AuditUnusable: if the first line cannot be written; then nothing must be changed.
        """
        self.append({**event, "phase": "begun"}, durable=True)
        outcome: dict[str, str | int] = {}
        try:
            yield outcome
        except BaseException as error:
            failed = {"phase": "failed", "error": type(error).__name__}
            self.append({**event, **failed}, durable=True)
            raise
        self.append({**event, **outcome, "phase": "done"}, durable=True)

    def _append(self, path: Path, event: Event, *, durable: bool) -> None:
        with _opened(head_of(path), os.O_RDWR) as head:
            fcntl.flock(head, fcntl.LOCK_EX)
            # Only now: another process may have begun a new file.
            with _opened(path, os.O_RDWR | os.O_APPEND) as file:
                last, flaws, start = self._last(head, file)
                told = {name: value for name, value in event.items() if value is not None}
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                entry = {"number": last.number + 1, "time": now, **told, **flaws}
                line = seal({**entry, "previous": last.digest}, self._key)
                _write(file, start + line + b"\n")
                self._mark(head, Mark(last.number + 1, digest_of(line)))
                fcntl.flock(head, fcntl.LOCK_UN)  # the others need not wait for the disk
                if durable:
                    os.fsync(file)

    def _last(self, head: int, file: int) -> tuple[Mark, dict[str, Any], bytes]:
        """Returns the end of the chain.

        Returns:
            The last line, by the head or by the log: a process may have been killed after it wrote
            to the log only. What the next line must tell of damage before it. What must be written
            before that line.
        """
        size = os.fstat(file).st_size
        whole, _, torn = os.pread(file, _TAIL, max(size - _TAIL, 0)).rpartition(b"\n")
        line = whole.rpartition(b"\n")[2]
        entry = unseal(line, self._key)
        written = Mark(entry["number"], digest_of(line)) if entry and "number" in entry else START
        content = os.pread(head, _TAIL, 0)
        known = read_head(content, self._key)
        flaws: dict[str, Any] = {"torn": True} if torn else {}
        if known is None and (content or size):
            flaws["head"] = "lost"
        elif known is None:  # from now on a missing head is noticed
            self._mark(head, START)
            os.fsync(head)
        last = max(known or START, written, key=lambda mark: mark.number)
        return last, flaws, b"\n" if torn else b""

    def _mark(self, head: int, mark: Mark) -> None:
        """Writes the head."""
        entry = {"head": mark.number, "digest": mark.digest}
        os.pwrite(head, seal(entry, self._key) + b"\n", 0)  # within one block of the disk


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int]:
    """Opens a file; creates it, and its folder, for their owner only if missing."""
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(file: int, line: bytes) -> None:
    while line:  # a disk that becomes full takes a part, and then refuses the rest
        line = line[os.write(file, line) :]
