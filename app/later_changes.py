"""Reads from audit logs what was erased or revoked after a backup was made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.audit import AuditUnusable, unseal
from app.audit_check import check_audit
from app.gallery.contents import Later
from app.gallery.sealing import Header

ERASE_SUBJECT = "/v1/subjects/{subject_id}"
ERASE_TEMPLATE = "/v1/subjects/{subject_id}/templates/{number}"
REVOKE_KEY = "/v1/keys/{key_id}"

CLOCKS = timedelta(minutes=1)
"""How far the clocks of machines that share a gallery may differ."""

_REFUSED = range(400, 500)


def read_later(logs: Sequence[Sequence[Path]], key: bytes, header: Header) -> Later:
    """Reads what was erased and revoked after a backup, by every machine of the service.

    Args:
        logs: for each machine its files, the oldest first; the last one has a head beside it.
        key: the key under which they were written, 32 bytes; see `app.audit`.
        header: the backup's.

    Raises:
        AuditUnusable: if a log cannot be read, is not intact, or does not reach back to the backup.
    """
    found = _Found()
    for files in logs:
        _check(files, key)
        _read_log(files, key, header, found)
    return Later(
        frozenset(found.erased),
        frozenset(found.thinned - found.erased),
        frozenset(found.revoked),
        found.are_keys_reset,
    )


@dataclass(slots=True)
class _Found:
    erased: set[str] = field(default_factory=set[str])
    thinned: set[str] = field(default_factory=set[str])
    revoked: set[str] = field(default_factory=set[str])
    are_keys_reset: bool = False

    def take(self, entry: Mapping[str, Any]) -> None:
        """Notes what a line tells. A change that was begun counts, unless it was refused."""
        if entry.get("status") in _REFUSED or entry.get("phase") == "failed":
            return
        done = entry.get("action") or f"{entry.get('method')} {entry.get('route')}"
        subject, key_id = entry.get("subject"), entry.get("key")
        if done == f"DELETE {ERASE_SUBJECT}" and subject:
            self.erased.add(subject)
        elif done == f"DELETE {ERASE_TEMPLATE}" and subject:
            self.thinned.add(subject)
        elif done in (f"DELETE {REVOKE_KEY}", "keys revoke") and key_id:
            self.revoked.add(key_id)
        elif done == "keys reset":
            self.are_keys_reset = True


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


def _read_log(files: Sequence[Path], key: bytes, header: Header, found: _Found) -> None:
    """Reads one machine's log.

    The machine on which the backup was made has a line that tells of it: what follows it came
    after the backup, whatever the clock said. On others, times tell.
    """
    refused = {
        entry["request_id"]
        for entry in _entries(files, key)
        if entry.get("status") in _REFUSED and "request_id" in entry
    }
    since = header.made_at - CLOCKS
    is_after = reaches_back = False
    for entry in _entries(files, key):
        at = datetime.fromisoformat(entry["time"])
        is_after |= entry.get("backup") == header.backup_id and entry["action"] == "backup"
        reaches_back |= is_after or at <= header.made_at
        if (is_after or at >= since) and entry.get("request_id") not in refused:
            found.take(entry)
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
