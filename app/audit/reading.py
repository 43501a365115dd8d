"""Reads the newest lines of the audit log from the end of its file, and verifies none of them."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.audit.log import AuditUnusable

BLOCK = 64 * 1024
"""Bytes that are read at a time; lines have less than 2,000."""

MAX_READ = 32 * 1024 * 1024
"""Most bytes that are searched for one page, about 80,000 lines: half a second."""

_CHAIN = ("previous", "mac")  # of use to `python -m app audit verify` only


class AuditLine(BaseModel):
    """One line of the audit log, without its hash and MAC; null for what it does not tell."""

    model_config = ConfigDict(extra="allow", frozen=True)

    number: int = Field(description="Its number in the log, 1 or higher.", examples=[42])
    time: AwareDatetime = Field(description="When it was written, UTC.")
    caller: str | None = Field(
        default=None,
        description="The API key's id, or local, unknown, command line or service.",
        examples=["3f9a1c04"],
    )
    address: str | None = Field(default=None, description="Where the request came from.")
    method: str | None = Field(default=None, description="The request's method.")
    route: str | None = Field(
        default=None,
        description="The request's path, with the names of its parameters.",
        examples=["/v1/identify"],
    )
    action: str | None = Field(
        default=None, description="What the service or a command did, without a request."
    )
    phase: str | None = Field(
        default=None, description="Of a change: begun before it is made; done, or failed, after it."
    )
    status: int | None = Field(
        default=None, description="The answer's HTTP status, a number of 200 or more."
    )
    decision: str | None = Field(
        default=None, description="The decision about a palm: match, no_match or inconclusive."
    )
    subject: str | None = Field(
        default=None,
        description="The subject's pseudonym, 16 hexadecimal digits; "
        "`python -m app audit pseudonym` prints that of an id.",
        examples=["6b1f0c9e2d7a4835"],
    )
    key: str | None = Field(default=None, description="The API key that the request is about.")
    request_id: str | None = Field(default=None, description="The request's X-Request-ID.")

    @property
    def subjects(self) -> set[str | None]:
        """The pseudonyms of all whom the line is about."""
        others = self.model_extra or {}
        return {self.subject, others.get("new_subject"), others.get("other_subject")}

    @property
    def outcome(self) -> str | None:
        """Returns succeeded, refused or failed; None of a change that is only begun."""
        if self.phase == "begun":
            return None
        if self.phase == "failed" or (self.status or 0) >= 500:
            return "failed"
        return "refused" if (self.status or 0) >= 400 else "succeeded"


class Page(NamedTuple):
    """Lines of the log.

    Attributes:
        lines: the newest first.
        next: lines with a lower number were not searched yet; None if there are none in the file.
        unreadable: number of lines that were passed over because they are torn or altered.
    """

    lines: list[AuditLine]
    next: int | None
    unreadable: int


def read_newest(
    log: Path, limit: int, *, before: int | None, wanted: Callable[[AuditLine], bool]
) -> Page:
    """Reads the newest lines that are wanted, with bounded memory and time.

    Args:
        log: the log. Lines may be written meanwhile, and the file moved away.
        limit: most lines to return, at least 1.
        before: only lines with a lower number; None for all.
        wanted: tells whether to return a line.

    Raises:
        AuditUnusable: if the file cannot be read, or is no regular file.
    """
    try:
        with _opened(log) as file:
            return _read(file, limit, before, wanted)
    except FileNotFoundError:  # moved away, and no line written since
        return Page([], None, 0)
    except OSError as error:
        raise AuditUnusable(
            f"audit log {log} cannot be read: {error}; make it readable for the service's user"
        ) from error


def _opened(log: Path) -> BinaryIO:
    descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # of a pipe, open would wait
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def _read(
    file: BinaryIO, limit: int, before: int | None, wanted: Callable[[AuditLine], bool]
) -> Page:
    lines: list[AuditLine] = []
    unreadable = 0
    end = file.seek(0, os.SEEK_END) if before is None else _end_before(file, before)
    for start, text in _lines_backwards(file, end):
        line = _parse(text)
        if line is None:
            unreadable += 1
        elif before is None or line.number < before:
            lines += [line] if wanted(line) else []
            if len(lines) == limit or end - start > MAX_READ:
                return Page(lines, line.number if line.number > 1 else None, unreadable)
    return Page(lines, None, unreadable)


def _end_before(file: BinaryIO, before: int) -> int:
    """Returns a place in the file that all lines below a number are before, and few others."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > BLOCK:
        middle = (low + high) // 2
        number = _number_after(file, middle)
        if number is not None and number >= before:
            high = middle + BLOCK // 8  # that line begins before it
        else:
            low = middle
    return high


def _number_after(file: BinaryIO, place: int) -> int | None:
    """Returns the number of the first whole line after a place; None if none is near."""
    file.seek(place)
    parsed = map(_parse, file.read(BLOCK // 8).split(b"\n")[1:-1])
    return next((line.number for line in parsed if line), None)


def _lines_backwards(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields whole lines that end before a place, the last first, each with its block's place."""
    rest, is_last = b"", True
    while end > 0:
        start = max(end - BLOCK, 0)
        file.seek(start)
        rest, *whole = (file.read(end - start) + rest).split(b"\n")
        if is_last and whole:
            whole.pop()  # empty, or a line that is being written, or was torn
            is_last = False
        yield from ((start, one) for one in reversed(whole))
        rest, end = rest[: 2 * BLOCK], start  # no line of ours is longer
    if rest and not is_last:
        yield 0, rest


def _parse(text: bytes) -> AuditLine | None:
    with suppress(ValueError, RecursionError):  # a ValidationError is a ValueError
        told = AuditLine.model_validate_json(text)
        for name in _CHAIN:
            (told.model_extra or {}).pop(name, None)
        return told
    return None
