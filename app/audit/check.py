"""Checks the audit log: finds every line that was altered, forged, dropped or reordered."""

import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.audit.log import NO_DIGEST, AuditUnusable, Mark, digest_of, head_of, read_head
from app.audit.log import unseal as unseal_line


@dataclass(slots=True)
class Finding:
    """What is wrong with the log.

    Attributes:
        place: the file, with the number of the line in it.
        reason: what is wrong.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(slots=True)
class Checked:
    """What a check found.

    Attributes:
        lines: number of intact lines.
        last: the last intact line; the line before the first one if there is none.
        findings: what is wrong; empty if nothing is.
    """

    lines: int
    last: Mark
    findings: list[Finding] = field(default_factory=list[Finding])


def check_audit(
    log: Path,
    key: bytes,
    *,
    older: Sequence[Path] = (),
    first: int = 1,
    seen: Mark | None = None,
) -> Checked:
    """Checks the log up to its head. Lines may be written meanwhile.

    Args:
        log: the log that is written to.
        key: the key under which it was written, 32 bytes.
        older: files of earlier lines, the oldest first.
        first: number that the first line must have.
        seen: a line that was seen before, and must still be there.

    Raises:
        AuditUnusable: if a file cannot be read, or there is no log.
    """
    try:
        head = _read_head(head_of(log))  # first: whatever it holds must be in the log
        if not (log.exists() or head):
            raise AuditUnusable(f"there is no audit log {log}; check PALM_AUDIT_FILE")
        chain = _Chain(key, first, seen)
        chain.expect_head(head, head_of(log))
        for file in (*older, *([log] if log.exists() else [])):
            for number, line in _lines(file):
                chain.take(line, f"{file}:{number}")
        return chain.end(str(log))
    except OSError as error:
        raise AuditUnusable(
            f"the audit log cannot be checked: {error}; run this as a user who may read it"
        ) from error


class _Chain:
    """Follows the chain line by line."""

    def __init__(self, key: bytes, first: int, seen: Mark | None) -> None:
        self._key = key
        # None is an unknown hash.
        self._last: tuple[int, str | None] = (first - 1, NO_DIGEST if first == 1 else None)
        self._marks = [seen] if seen else []
        self._broken: list[str] = []  # places of lines without a valid MAC
        self._checked = Checked(0, Mark(first - 1, NO_DIGEST))

    def expect_head(self, content: bytes, file: Path) -> None:
        head = read_head(content, self._key)
        if head is None:
            self._find(str(file), "the head is missing or damaged: lines may be missing at the end")
        else:
            self._marks.append(head)

    def take(self, line: bytes, place: str) -> None:
        """Checks a line, which follows the one before."""
        entry = unseal_line(line, self._key)
        if entry is None or "number" not in entry:
            self._broken.append(place)
            return
        if entry.get("torn") and self._broken:  # a line that nobody was told was written
            self._broken.pop()
        if entry.get("head") == "lost":
            self._find(place, "the head was missing or damaged: lines before may be missing")
        self._follow(entry["number"], entry["previous"], place)
        mark = Mark(entry["number"], digest_of(line))
        if any(one.number == mark.number and one.digest != mark.digest for one in self._marks):
            self._find(place, "is another line of this number than the one written or seen before")
        self._last = (mark.number, mark.digest)
        self._checked.last = mark
        self._checked.lines += 1

    def end(self, log: str) -> Checked:
        """Returns what was found, after the last line."""
        self._report_broken()
        last = max(self._last[0], self._checked.last.number)
        missing = max((mark.number for mark in self._marks), default=0)
        if missing > last:
            self._find(log, f"{_numbers(last + 1, missing)} missing at the end")
        return self._checked

    def _follow(self, number: int, previous: str, place: str) -> None:
        """Checks that a line follows those before."""
        before, digest = self._last
        if self._broken and not (number == before + 1 and previous == digest):
            # They stand in the place of lines, and were not put between two.
            before, digest = before + len(self._broken), None
        self._report_broken()
        if number > before + 1:
            self._find(place, f"{_numbers(before + 1, number - 1)} missing before it")
        elif number <= before:
            self._find(
                place, f"line {number} is repeated or out of order: it follows line {before}"
            )
        elif digest is not None and previous != digest:
            self._find(place, f"line {number} was written after another line than {before}")

    def _report_broken(self) -> None:
        for place in self._broken:
            self._find(place, "is altered, forged, or written under another key")
        self._broken = []

    def _find(self, place: str, reason: str) -> None:
        self._checked.findings.append(Finding(place, reason))


def _read_head(file: Path) -> bytes:
    if not file.exists():
        return b""
    with file.open("rb") as head:
        fcntl.flock(head, fcntl.LOCK_SH)
        return head.read()


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file without their ends, with their numbers in the file."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.removesuffix(b"\n")


def _numbers(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"
