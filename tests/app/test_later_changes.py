"""What an audit log tells of the time after a backup."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app import audit
from app.audit import AuditLog, AuditUnusable
from app.gallery.contents import Later
from app.gallery.sealing import Header
from app.later_changes import read_later

KEY = bytes(32)
NOW = datetime.now(UTC)
HEADER = Header(backup_id="ba" * 16, made_at=NOW, schema_revision="0", key="0")
BACKUP = {"action": "backup", "backup": HEADER.backup_id, "phase": "begun"}
SUBJECT = "/v1/subjects/{subject_id}"


Event = dict[str, str | int | None]


def change(
    method: str, route: str, subject: str | None = None, status: int = 200, **notes: str
) -> list[Event]:
    """Returns both lines about a request."""
    event: Event = {"method": method, "route": route, "subject": subject, "request_id": "1"}
    return [{**event, "phase": "begun"}, {**event, "phase": "done", "status": status, **notes}]


def erase(subject: str, status: int = 200) -> list[Event]:
    return change("DELETE", SUBJECT, subject, status)


def later(tmp_path: Path, *lines: Event) -> Later:
    log = AuditLog(tmp_path / "audit.jsonl", KEY)
    for line in lines:
        log.append(line, durable=False)
    return read_later([[tmp_path / "audit.jsonl"]], KEY, HEADER)


def test_only_what_follows_the_backup_counts_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """Runs a day late."""

        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return super().now(UTC) - timedelta(days=1)  # type: ignore[return-value]

    monkeypatch.setattr(audit, "datetime", Clock)
    found = later(tmp_path, *erase("a"), BACKUP, *erase("b"))
    assert found == Later(frozenset({"b"}))


def test_what_was_refused_does_not_count_and_what_was_interrupted_does(tmp_path: Path) -> None:
    begun, _ = erase("d")
    lines = [*erase("a"), *erase("b", status=409), *erase("c", status=503), begun]
    assert later(tmp_path, BACKUP, *lines).erased == {"a", "c", "d"}


def test_templates_keys_and_retention_count(tmp_path: Path) -> None:
    retention = {"action": "erased by retention", "subject": "b"}
    found = later(
        tmp_path,
        BACKUP,
        *change("DELETE", f"{SUBJECT}/templates/{{number}}", "a"),
        {**retention, "phase": "begun"},
        {**retention, "phase": "done"},
        {**retention, "subject": "c", "phase": "begun"},
        {**retention, "subject": "c", "phase": "failed"},
        *change("DELETE", "/v1/keys/{key_id}", key="3f9a1c04"),
        {"action": "keys revoke", "phase": "done", "key": "00000000"},
    )
    assert found == Later(
        frozenset({"b"}), frozenset({"a"}), frozenset({"3f9a1c04", "00000000"}), False
    )
    assert later(tmp_path, {"action": "keys reset", "phase": "done"}).are_keys_reset


def test_whoever_was_renamed_or_merged_and_then_erased_is_found(tmp_path: Path) -> None:
    def rename(old: str, new: str) -> list[Event]:
        return change("POST", f"{SUBJECT}/rename", old, new_subject=new)

    def merge(into: str, other: str) -> list[Event]:
        return change("POST", f"{SUBJECT}/merge", into, other_subject=other)

    lines = [*rename("a", "b"), *merge("c", "b"), *rename("x", "y"), *rename("c", "d")]
    assert later(tmp_path, BACKUP, *lines, *erase("d")).erased == {"a", "b", "c", "d"}


def test_a_log_of_another_gallery_or_without_its_beginning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditUnusable, match="there is no audit log"):
        read_later([[tmp_path / "audit.jsonl"]], KEY, HEADER)
    later(tmp_path, BACKUP)
    with pytest.raises(AuditUnusable, match="cannot tell what was erased"):
        read_later([[tmp_path / "audit.jsonl"]], bytes(31) + b"1", HEADER)
    earlier = HEADER.model_copy(update={"made_at": NOW - timedelta(days=1), "backup_id": "another"})
    with pytest.raises(AuditUnusable, match="does not reach back"):
        read_later([[tmp_path / "audit.jsonl"]], KEY, earlier)
