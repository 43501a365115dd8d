"""Subjects are erased when their retention date has passed."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import guards
from app.__main__ import main
from app.audit.log import AuditLog, AuditUnusable
from app.gallery.errors import GalleryUnusable, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.sql.sqlite import open_sqlite
from app.retention import RetentionTask, erase_expired
from app.settings import read_settings
from app.wiring import GALLERIES, open_gallery
from tests.app.api.conftest import enroll as enroll_image
from tests.app.api.conftest import identify, local_client, make_app, make_settings, png
from tests.app.conftest import MASTER_KEYS
from tests.app.gallery.conftest import VGG16, vein_maps
from tests.app.gallery.test_fields import HOUR, Now
from tests.app.live import wait_until

WHO = {"caller": "service"}


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def gallery(tmp_path: Path, now: Now) -> Any:
    with closing(open_sqlite(f"sqlite:///{tmp_path}/gallery.db", MASTER_KEYS, now=now)) as gallery:
        yield gallery


@pytest.fixture
def audit(tmp_path: Path, gallery: Gallery) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl", gallery.secrets.audit)


def keep(gallery: Gallery, subject_id: str, until: datetime | None) -> None:
    details = {"retain_until": until}
    templates = {VGG16: vein_maps(1)}
    gallery.enroll(subject_id, None, None, templates, add=False, details=details)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_all_whose_date_has_passed_are_erased_with_receipts_and_audit_lines(
    gallery: Gallery, audit: AuditLog, now: Now, tmp_path: Path
) -> None:
    for number in range(3):
        keep(gallery, f"ada-{number}", now() + HOUR)
    keep(gallery, "eve", now() + 2 * HOUR)
    keep(gallery, "bob", None)
    now.time += HOUR
    receipts = list(erase_expired(gallery, audit, WHO))
    assert [gallery.erasure(one.erasure_id) for one in receipts] == receipts
    assert [one.subject_id for one in gallery.subjects(after=None, limit=9)] == ["bob", "eve"]
    told = lines(tmp_path)
    assert {one["action"] for one in told} == {"erased by retention"}
    assert [one["phase"] for one in told] == ["begun", "done"] * 3
    assert [one["subject"] for one in told[1::2]] == [one.pseudonym for one in receipts]
    assert [one["erasure"] for one in told[1::2]] == [one.erasure_id for one in receipts]
    assert "ada-" not in (tmp_path / "audit.jsonl").read_text()


def test_processes_that_erase_at_the_same_time_erase_each_subject_once(
    gallery: Gallery, audit: AuditLog, now: Now, tmp_path: Path
) -> None:
    for one in ("ada", "eve"):
        keep(gallery, one, now() + HOUR)
    now.time += HOUR
    with closing(open_sqlite(f"sqlite:///{tmp_path}/gallery.db", MASTER_KEYS, now=now)) as other:
        first = erase_expired(gallery, audit, WHO)
        found = [next(first)]
        found += erase_expired(other, audit, WHO)
        found += first
    assert len({one.pseudonym for one in found}) == len(found) == 2


def test_a_subject_who_was_enrolled_anew_meanwhile_is_kept(
    gallery: Gallery, audit: AuditLog, now: Now
) -> None:
    for one in ("ada", "eve"):
        keep(gallery, one, now() + HOUR)
    now.time += HOUR
    erasing = erase_expired(gallery, audit, WHO)
    next(erasing)  # knows by now that eve is due, too
    gallery.delete("eve")
    keep(gallery, "eve", now() + HOUR)
    assert list(erasing) == []
    assert gallery.subject("eve").template_counts


def test_nothing_is_erased_that_the_audit_log_cannot_tell(
    gallery: Gallery, now: Now, tmp_path: Path
) -> None:
    keep(gallery, "ada", now() + HOUR)
    now.time += HOUR
    broken = AuditLog(tmp_path, b"\x11" * 32)  # a folder
    with pytest.raises(AuditUnusable):
        list(erase_expired(gallery, broken, WHO))
    assert gallery.records.expired(9) == ["ada"]


def test_the_task_tries_again_after_a_failure_and_stops(
    gallery: Gallery,
    audit: AuditLog,
    now: Now,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keep(gallery, "ada", now() + HOUR)
    now.time += HOUR
    failures = [GalleryUnusable("down"), RuntimeError("unforeseen")]
    delete: Callable[..., Any] = gallery.delete

    def fail_twice(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return delete(*arguments, **options)

    monkeypatch.setattr(gallery, "delete", fail_twice)
    forgotten: list[bool] = []
    with RetentionTask(gallery, audit, lambda: forgotten.append(True), 0.001).running():
        wait_until(lambda: forgotten)
    assert gallery.records.expired(9) == []
    assert any("tries again" in record.getMessage() for record in caplog.records)
    keep(gallery, "eve", now() + HOUR)
    now.time += HOUR
    assert gallery.records.expired(9) == ["eve"]  # nobody erases any more


def test_a_service_finds_nobody_whose_date_has_passed_and_erases_them_when_it_starts(
    tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    now.time = datetime.now(UTC)
    monkeypatch.setitem(GALLERIES, "sqlite", partial(open_sqlite, now=now))
    settings = make_settings(tmp_path)
    with local_client(make_app(settings)) as client:
        fields = {"retain_until": (now() + HOUR).isoformat()}
        enroll_image(client, "ada", png(50), **fields).raise_for_status()
        assert identify(client, png(50, 1)).json()["identity"]["subject_id"] == "ada"
        now.time += HOUR
        assert identify(client, png(50, 1)).json()["decision"] == "no_match"
        assert client.get("/v1/subjects/ada").status_code == 404
    told = lines(tmp_path)
    assert not [one for one in told if one.get("action") == "erased by retention"]
    with local_client(make_app(settings)):
        wait_until(lambda: lines(tmp_path)[-1].get("erasure"))
        with closing(open_gallery(settings)) as gallery:
            assert gallery.records.expired(9) == []


def test_a_service_without_a_gallery_starts_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "RetentionTask", lambda *_: pytest.fail("a task was started"))
    settings = make_settings(tmp_path)
    (tmp_path / "gallery.db").write_bytes(b"no gallery")
    with local_client(make_app(settings)) as client:
        assert client.get("/health/live").status_code == 200


def test_the_command_erases_who_is_due_and_prints_receipts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_gallery(read_settings())) as gallery:
        keep(gallery, "zuse", datetime.now(UTC) - timedelta(seconds=1))
        keep(gallery, "eve", datetime.now(UTC) + HOUR)
        assert main(["erasures", "expired"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith("database done  log done")
        assert "zuse" not in line
        with pytest.raises(SubjectUnknown):
            gallery.subject("zuse")
        assert gallery.subject("eve")
    told = lines(tmp_path / "data")
    assert [(one["caller"], one["action"], one["phase"]) for one in told] == [
        ("command line", "erased by retention", "begun"),
        ("command line", "erased by retention", "done"),
    ]
    assert main(["erasures", "expired"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["audit", "verify"]) == 0
