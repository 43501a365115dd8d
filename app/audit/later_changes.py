"""Reads from audit logs what was erased, renamed, merged or revoked after a backup was made."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from app.audit.check import check_audit
from app.audit.log import AuditUnusable, unseal
from app.gallery.backup.contents import Later
from app.gallery.backup.sealing import Header

ERASE_SUBJECT = ("DELETE /v1/subjects/{subject_id}", "erased by retention")
ERASE_TEMPLATE = ("DELETE /v1/subjects/{subject_id}/templates/{number}",)
REVOKE_KEY = ("DELETE /v1/keys/{key_id}", "keys revoke")
RESET_KEYS = ("keys reset",)

REFUSALS = {"SubjectUnknown", "NotExpired", "KeyUnknown"}
"""The errors, by name, of commands and of the service's own changes that changed nothing."""

CLOCKS = timedelta(minutes=1)
"""How far the clocks of machines that share a gallery may differ."""


def read_later(logs: Sequence[Sequence[Path]], key: bytes, header: Header) -> Later:
    """Reads what was erased and revoked after a backup, by every machine of the service.

    Args:
        logs: for each machine its files, the oldest first; the last one has a head beside it.
        key: the key under which they were written, 32 bytes; see `app.audit.log`.
        header: the backup's.

    Raises:
        AuditUnusable: if a log cannot be read, is not intact, or does not reach back to the backup.
    """
    changes = _Changes()
    for files in logs:
        _check(files, key)
        _read_log(files, key, header, changes)
    return changes.later()


class _Change(NamedTuple):
    """A line, when it was written, and how many were taken before it."""

    at: datetime
    place: int
    entry: Mapping[str, Any]


class _Changes:
    """The changes that logs tell of. One that was begun or failed counts, unless it was refused."""

    def __init__(self) -> None:
        self._done: list[_Change] = []
        self._open = defaultdict[tuple[Any, ...], list[_Change]](list)
        self._taken = 0

    def take(self, at: datetime, entry: Mapping[str, Any]) -> None:
        """Takes the next line of a log.

        Args:
            at: when it was written; lines of one log come in this order.
            entry: what it tells.
        """
        # A caller may give many requests one id, and begin a change again that was interrupted.
        begun = self._open[_name(entry), *map(entry.get, ("subject", "key", "request_id"))]
        if entry.get("phase") == "begun":
            begun.append(_Change(at, self._taken, entry))
        elif entry.get("phase") in {"done", "failed"}:
            del begun[-1:]
            if not _is_refusal(entry):
                self._done.append(_Change(at, self._taken, entry))
        self._taken += 1

    def later(self) -> Later:
        """Returns what was erased and revoked.

        A subject that was renamed, or merged into another one, has its former pseudonym in the
        backup, and was erased if the one was whose templates its own became. An id may stand for
        several subjects, one after the other: so the lines are followed back in time, from who had
        an id at the end to who had it in the backup.
        """
        changes = sorted([*self._done, *chain(*self._open.values())], key=attrgetter("at", "place"))
        entries = [one.entry for one in changes]
        erased, thinned, moved = set[str](), set[str](), set[str]()
        for entry in reversed(entries):
            erased = _before(entry, ERASE_SUBJECT, erased)
            thinned = _before(entry, ERASE_TEMPLATE, thinned)
            moved = _before(entry, (), moved) | _moved(entry)
        return Later(
            frozenset(erased),
            frozenset(thinned - erased),
            frozenset(_gather(entries, REVOKE_KEY, "key")),
            any(_name(entry) in RESET_KEYS for entry in entries),
            frozenset(moved - thinned - erased),
        )


def _before(entry: Mapping[str, Any], names: Sequence[str], after: set[str]) -> set[str]:
    """Returns what subjects to whom something happened later were called before a line.

    Args:
        entry: the line.
        names: what lines are about that tell of it.
        after: what those were called after the line to whom it happened later.
    """
    subject: str = entry.get("subject", "")
    if subject and _name(entry) in names:
        return {*after, subject}
    if "new_subject" in entry:
        former, present, gone = subject, entry["new_subject"], {subject, entry["new_subject"]}
    elif "other_subject" in entry:
        former, present, gone = entry["other_subject"], subject, {entry["other_subject"]}
    else:
        return after
    is_certain = entry.get("status") == HTTPStatus.OK  # otherwise both may have kept their ids
    found = after - gone if is_certain else after
    return {*found, former} if present in after else found


def _moved(entry: Mapping[str, Any]) -> set[str]:
    """Returns whose id a line may have freed: of who was renamed, or merged into another one."""
    former = entry.get("subject") if "new_subject" in entry else entry.get("other_subject")
    return {former} if former else set()


def _is_refusal(entry: Mapping[str, Any]) -> bool:
    """Tells whether a change's second line says that nothing was changed."""
    return entry.get("status") in range(400, 500) or entry.get("error") in REFUSALS


def _name(entry: Mapping[str, Any]) -> str:
    """Returns what a line is about."""
    return entry.get("action") or f"{entry.get('method')} {entry.get('route')}"


def _gather(entries: Sequence[Mapping[str, Any]], names: Sequence[str], what: str) -> set[str]:
    return {entry[what] for entry in entries if _name(entry) in names and what in entry}


def _check(files: Sequence[Path], key: bytes) -> None:
    *older, log = files
    begun = _entries([one for one in files if one.exists()], key)
    first = next((entry["number"] for entry in begun), 1)
    checked = check_audit(log, key, older=older, first=first)
    if checked.findings:
        raise AuditUnusable(
            f"the audit log {log} cannot tell what was erased after the backup: "
            f"{checked.findings[0]}"
        )


def _read_log(files: Sequence[Path], key: bytes, header: Header, changes: _Changes) -> None:
    """Reads one machine's log.

    The machine on which the backup was made has a line that tells of it: what follows it came
    after the backup, whatever the clock said. On others, times tell.
    """
    since = header.made_at - CLOCKS
    latest = datetime.min.replace(tzinfo=UTC)
    is_after = reaches_back = False
    for entry in _entries(files, key):
        at = datetime.fromisoformat(entry["time"])
        latest = max(latest, at)  # a clock that was set back does not change the lines' order
        is_after |= entry.get("backup") == header.backup_id and _name(entry) == "backup"
        reaches_back |= is_after or at <= header.made_at
        if is_after or at >= since:
            changes.take(latest, entry)
    if not reaches_back:
        raise AuditUnusable(
            f"the audit log {files[0]} does not reach back to {header.made_at:%Y-%m-%d %H:%M} UTC, "
            "when the backup was made: name its older files, too"
        )


def _entries(files: Sequence[Path], key: bytes) -> Iterator[dict[str, Any]]:
    """Yields the authentic lines."""
    for file in files:
        try:
            with file.open("rb") as lines:
                for line in lines:
                    entry = unseal(line.removesuffix(b"\n"), key)
                    if entry is not None and "number" in entry:
                        yield entry
        except OSError as error:
            raise AuditUnusable(f"the audit log {file} cannot be read: {error}") from error
