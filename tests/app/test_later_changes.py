"""What an audit log tells of the time after a backup."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.audit import log as audit
from app.audit.later_changes import read_later
from app.audit.log import AuditLog, AuditUnusable
from app.gallery.backup.contents import Later
from app.gallery.backup.sealing import Header

KEY = bytes(32)
NOW = datetime.now(UTC)
HEADER = Header(backup_id="ba" * 16, made_at=NOW, schema_revision="0", key="0")
BACKUP = {"action": "backup", "backup": HEADER.backup_id, "phase": "begun"}
SUBJECT = "/v1/subjects/{subject_id}"


Event = dict[str, str | int | None]


def change(
    method: str, route: str, subject: str | None = None, status: int = 200, **notes: str
) -> list[Event]:
    """Returns the lines about a request: `notes` are in its body."""
    event: Event = {"method": method, "route": route, "subject": subject, "request_id": "1"}
    begun: list[Event] = [{**event, **some, "phase": "begun"} for some in ({}, notes)]
    return [*begun[: 1 + bool(notes)], {**event, "phase": "done", "status": status, **notes}]


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


def test_a_change_that_was_interrupted_counts_whatever_is_begun_after_it(tmp_path: Path) -> None:
    killed, _ = erase("a")
    revoked: Event = {"action": "keys revoke", "key": "3f9a1c04", "phase": "begun"}
    other: Event = {"action": "keys revoke", "key": "00000000"}
    found = later(
        tmp_path,
        BACKUP,
        killed,
        *erase("a", status=404),  # the client tries again, with the same X-Request-ID
        revoked,
        {**other, "phase": "begun"},
        {**other, "phase": "done"},
    )
    assert found == Later(frozenset({"a"}), revoked=frozenset({"3f9a1c04", "00000000"}))


def test_what_was_refused_twice_at_the_same_time_does_not_count(tmp_path: Path) -> None:
    begun, refused = erase("a", status=409)
    assert later(tmp_path, BACKUP, begun, begun, refused, refused).erased == set()


def test_templates_keys_and_retention_count(tmp_path: Path) -> None:
    retention = {"action": "erased by retention", "subject": "b"}
    found = later(
        tmp_path,
        BACKUP,
        *change("DELETE", f"{SUBJECT}/templates/{{number}}", "a"),
        {**retention, "phase": "begun"},
        {**retention, "phase": "done"},
        {**retention, "subject": "c", "phase": "begun"},
        {**retention, "subject": "c", "phase": "failed", "error": "NotExpired"},
        *change("DELETE", "/v1/keys/{key_id}", key="3f9a1c04"),
        {"action": "keys revoke", "phase": "done", "key": "00000000"},
    )
    assert found == Later(
        frozenset({"b"}), frozenset({"a"}), frozenset({"3f9a1c04", "00000000"}), False
    )
    assert later(tmp_path, {"action": "keys reset", "phase": "done"}).are_keys_reset


def test_what_a_command_or_the_service_began_and_could_not_finish_counts(tmp_path: Path) -> None:
    lines: list[Event] = []
    for change, error in (
        ({"action": "erased by retention", "subject": "a"}, "GalleryUnusable"),
        ({"action": "erased by retention", "subject": "b"}, "SubjectUnknown"),
        ({"action": "keys revoke", "key": "3f9a1c04"}, "GalleryUnusable"),
        ({"action": "keys revoke", "key": "00000000"}, "KeyUnknown"),
        ({"action": "keys reset"}, "KeyboardInterrupt"),
    ):
        begun: Event = {**change, "phase": "begun"}
        lines += [begun, {**change, "phase": "failed", "error": error}]
    assert later(tmp_path, BACKUP, *lines) == Later(
        frozenset({"a"}), revoked=frozenset({"3f9a1c04"}), are_keys_reset=True
    )


def rename(old: str, new: str, status: int = 200) -> list[Event]:
    return change("POST", f"{SUBJECT}/rename", old, status, new_subject=new)


def merge(into: str, other: str) -> list[Event]:
    return change("POST", f"{SUBJECT}/merge", into, other_subject=other)


def test_whoever_was_renamed_or_merged_and_then_erased_is_found(tmp_path: Path) -> None:
    lines = [*rename("a", "b"), *merge("c", "b"), *rename("x", "y"), *rename("c", "d")]
    assert later(tmp_path, BACKUP, *lines, *erase("d")).erased == {"a", "c"}


def test_whoever_was_renamed_or_merged_and_is_still_there_is_told(tmp_path: Path) -> None:
    lines = [*rename("a", "b"), *rename("b", "c"), *merge("d", "e"), *rename("f", "g", 409)]
    begun = rename("h", "i")[:2]
    assert later(tmp_path, BACKUP, *lines, *begun, *erase("d")).moved == {"a", "h"}


@pytest.mark.parametrize(
    ("lines", "erased"),
    [
        ([*erase("b"), *rename("a", "b")], {"b"}),
        ([*rename("a", "b"), *erase("a")], set()),  # another "a", who was enrolled afterwards
        ([*rename("a", "b"), *erase("a"), *erase("b")], {"a"}),
        ([*rename("a", "b", 503), *erase("a")], {"a"}),  # who may have kept that id
        ([*rename("a", "b", 503), *erase("b")], {"a", "b"}),
        ([*rename("a", "b")[:2], *erase("b")], {"a", "b"}),  # killed before the last line
        ([*merge("a", "b"), *erase("b")], set()),
        ([*erase("a"), *rename("b", "a"), *merge("c", "a")], {"a"}),
    ],
)
def test_an_id_that_several_subjects_had_stands_for_the_one_in_the_backup(
    tmp_path: Path, lines: list[Event], erased: set[str]
) -> None:
    assert later(tmp_path, BACKUP, *lines).erased == erased


def test_lines_of_two_machines_are_followed_in_the_order_of_their_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """Shows what the test sets."""

        time = NOW - timedelta(seconds=2)

        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return cls.time  # type: ignore[return-value]

    monkeypatch.setattr(audit, "datetime", Clock)
    files = [tmp_path / "one.jsonl", tmp_path / "other.jsonl"]
    one, other = (AuditLog(file, KEY) for file in files)
    start: Event = {"action": "start"}
    turns = ((other, [start]), (one, [BACKUP]), (other, erase("b")), (one, rename("a", "b")))
    for log, lines in turns:
        for line in lines:
            Clock.time += timedelta(seconds=1)
            log.append(line, durable=False)
    for order in (files, files[::-1]):
        assert read_later([[file] for file in order], KEY, HEADER).erased == {"b"}


def test_a_log_of_another_gallery_or_without_its_beginning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditUnusable, match="there is no audit log"):
        read_later([[tmp_path / "audit.jsonl"]], KEY, HEADER)
    later(tmp_path, BACKUP)
    with pytest.raises(AuditUnusable, match="cannot tell what was erased"):
        read_later([[tmp_path / "audit.jsonl"]], bytes(31) + b"1", HEADER)
    earlier = HEADER.model_copy(update={"made_at": NOW - timedelta(days=1), "backup_id": "another"})
    with pytest.raises(AuditUnusable, match="does not reach back"):
        read_later([[tmp_path / "audit.jsonl"]], KEY, earlier)
