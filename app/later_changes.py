"""Reads from audit logs what was erased or revoked after a backup was made."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.audit import AuditUnusable, unseal
from app.audit_check import check_audit
from app.gallery.contents import Later
from app.gallery.sealing import Header

ERASE_SUBJECT = ("DELETE /v1/subjects/{subject_id}", "erased by retention")
ERASE_TEMPLATE = ("DELETE /v1/subjects/{subject_id}/templates/{number}",)
REVOKE_KEY = ("DELETE /v1/keys/{key_id}", "keys revoke")
RESET_KEYS = ("keys reset",)

CLOCKS = timedelta(minutes=1)
"""How far the clocks of machines that share a gallery may differ."""


def read_later(logs: Sequence[Sequence[Path]], key: bytes, header: Header) -> Later:
    """Reads what was erased and revoked after a backup, by every machine of the service.

    Args:
        logs: for each machine its files, the oldest first; the last one has a head beside it.
        key: the key under which they were written, 32 bytes; see `app.audit`.
        header: the backup's.

    Raises:
        AuditUnusable: if a log cannot be read, is not intact, or does not reach back to the backup.
    """
    changes = _Changes()
    for files in logs:
        _check(files, key)
        _read_log(files, key, header, changes)
    return changes.later()


class _Changes:
    """The changes that logs tell of. One that was begun counts, unless it was refused."""

    def __init__(self) -> None:
        self._done: list[Mapping[str, Any]] = []
        self._open: dict[tuple[Any, ...], Mapping[str, Any]] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the next line of a log."""
        change = (_name(entry), entry.get("subject"), entry.get("request_id"))
        self._open.pop(change, None)
        if entry.get("phase") == "begun":
            self._open[change] = entry
        elif entry.get("phase") == "done" and entry.get("status") not in range(400, 500):
            self._done.append(entry)

    def later(self) -> Later:
        """Returns what was erased and revoked.

        A subject that was renamed, or merged into another one, has its pseudonym in the backup, and
        was erased if the one was whose templates its own became.
        """
        entries = [*self._done, *self._open.values()]
        erased = _gather(entries, ERASE_SUBJECT, "subject")
        thinned = _gather(entries, ERASE_TEMPLATE, "subject")
        for entry in reversed(self._done):
            if "new_subject" in entry:
                former, present = entry["subject"], entry["new_subject"]
            elif "other_subject" in entry:
                former, present = entry["other_subject"], entry["subject"]
            else:
                continue
            erased |= {former} if present in erased else set()
            thinned |= {former} if present in thinned else set()
        return Later(
            frozenset(erased),
            frozenset(thinned - erased),
            frozenset(_gather(entries, REVOKE_KEY, "key")),
            any(_name(entry) in RESET_KEYS for entry in entries),
        )


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
    is_after = reaches_back = False
    for entry in _entries(files, key):
        at = datetime.fromisoformat(entry["time"])
        is_after |= entry.get("backup") == header.backup_id and _name(entry) == "backup"
        reaches_back |= is_after or at <= header.made_at
        if is_after or at >= since:
            changes.take(entry)
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
