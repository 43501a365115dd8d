"""The commands `backup` and `restore`."""

import errno
import json
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.audit.log import AuditLog, head_of
from app.audit.pseudonyms import Pseudonyms
from app.gallery.backup import sealing
from app.gallery.encryption.wrapped import WrappedKeys
from app.gallery.errors import GalleryUnusable
from app.settings import read_settings
from app.wiring import open_gallery
from tests.app.gallery.conftest import enroll

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to a working directory without a .env, and enrolls two subjects."""
    monkeypatch.chdir(tmp_path)
    with closing(open_gallery(read_settings())) as gallery:
        enroll(gallery, "ada", seed=1)
        enroll(gallery, "eve", seed=2)
    return tmp_path / "data"


def ids() -> list[str]:
    with closing(open_gallery(read_settings())) as gallery:
        return [one.subject_id for one in gallery.subjects(after=None, limit=9)]


def erase(subject_id: str) -> None:
    """Erases a subject as the service does, with its lines in the audit log."""
    settings = read_settings()
    with closing(open_gallery(settings)) as gallery:
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        event = {
            "method": "DELETE",
            "route": "/v1/subjects/{subject_id}",
            "subject": Pseudonyms(gallery.secrets.pseudonyms).of(subject_id),
            "request_id": f"of {subject_id}",
        }
        audit.append({**event, "phase": "begun"}, durable=True)
        gallery.delete(subject_id)
        audit.append({**event, "phase": "done", "status": 200}, durable=True)


def lose_gallery(folder: Path) -> None:
    for file in folder.glob("gallery.db*"):
        file.unlink()


def lose_audit_log(folder: Path) -> None:
    for file in folder.glob("audit.jsonl*"):
        file.unlink()


def test_a_backup_is_for_its_owner_only_and_restored_over_a_later_state(
    folder: Path, capsys: Captured
) -> None:
    assert main(["backup", "a.palm"]) == 0
    assert "subjects: 2; encrypted under the master key" in capsys.readouterr().out
    assert stat.S_IMODE(Path("a.palm").stat().st_mode) == 0o600
    assert {one.name for one in folder.parent.iterdir()} == {"a.palm", "data"}
    erase("ada")
    assert main(["restore", "a.palm"]) == 2
    assert "has 1 subjects: add --replace" in capsys.readouterr().err
    assert main(["restore", "a.palm", "--replace"]) == 0
    told = capsys.readouterr().out
    assert "UTC; subjects: 1\n" in told
    assert "subjects left out, because they were erased after the backup: 1\n" in told
    assert ids() == ["eve"]
    assert main(["erasures", "verify"]) == 0


def test_a_backup_tells_how_many_it_lacks(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all = WrappedKeys.read_all

    def lack_one(*of: Any) -> dict[int, bytes]:
        """Reads the keys as if somebody was erased while the backup began."""
        return dict(sorted(read_all(*of).items())[1:])

    monkeypatch.setattr(WrappedKeys, "read_all", lack_one)
    assert main(["backup", "a.palm"]) == 0
    told = capsys.readouterr().out
    assert "subjects: 1; encrypted" in told
    assert "erased or changed while the backup began: 1; unless" in told


def test_an_existing_file_is_not_overwritten(capsys: Captured) -> None:
    Path("a.palm").write_text("mine")
    assert main(["backup", "a.palm"]) == 2
    assert "a.palm exists already" in capsys.readouterr().err
    assert Path("a.palm").read_text() == "mine"


def test_a_backup_that_fails_leaves_no_file(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sealing.SealedWriter, "finish", fail)
        assert main(["backup", "a.palm"]) == 2
    assert "a.palm cannot be written: [Errno 28] No space left" in capsys.readouterr().err
    assert [one.name for one in folder.parent.iterdir()] == ["data"]
    assert main(["backup", "missing/a.palm"]) == 2
    assert "missing/a.palm cannot be written" in capsys.readouterr().err


def test_both_commands_are_audited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["backup", "a.palm"]) == 0
    assert main(["restore", "a.palm"]) == 2
    assert main(["restore", "a.palm", "--replace"]) == 0
    told = [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]
    phases = ["begun", "done", "begun", "failed", "begun", "done"]
    assert [(one["action"], one["phase"]) for one in told] == [
        *[("backup", phase) for phase in phases[:2]],
        *[("restore", phase) for phase in phases[2:]],
    ]
    assert len({one["backup"] for one in told}) == 1
    assert (told[1]["subjects"], told[-1]["subjects"], told[-1]["left_out"]) == (2, 2, 0)
    assert main(["audit", "verify"]) == 0


def test_a_lost_gallery_is_restored_by_the_audit_log(folder: Path, capsys: Captured) -> None:
    assert main(["backup", "a.palm"]) == 0
    erase("ada")
    lose_gallery(folder)
    assert main(["restore", "a.palm"]) == 0
    told = capsys.readouterr().out
    assert "subjects left out, because they were erased after the backup: 1\n" in told
    assert "by the audit log data/audit.jsonl" in told
    assert ids() == ["eve"]
    assert main(["audit", "verify"]) == 0


def test_without_an_intact_audit_log_a_lost_gallery_is_restored_only_if_asked(
    folder: Path, capsys: Captured
) -> None:
    erase("eve")
    assert main(["backup", "a.palm"]) == 0
    erase("ada")
    lose_gallery(folder)
    log = folder / "audit.jsonl"
    whole = log.read_bytes().splitlines(keepends=True)
    for lines, reason in (
        (whole[:-2], "missing at the end"),
        ([*whole[:3], *whole[4:]], "missing before it"),
    ):
        log.write_bytes(b"".join(lines))
        assert main(["restore", "a.palm"]) == 2
        told = capsys.readouterr().err
        assert "nobody knows what was erased after the backup" in told
        assert reason in told
        assert "--without-erasures" in told
    log.write_bytes(b"".join(whole[4:]))  # intact, but begins after the backup
    assert main(["restore", "a.palm"]) == 2
    assert "does not reach back to" in capsys.readouterr().err
    lose_audit_log(folder)
    assert main(["restore", "a.palm"]) == 2
    assert "there is no audit log" in capsys.readouterr().err
    assert not (folder / "gallery.db").exists() or ids() == []
    assert main(["restore", "a.palm", "--without-erasures"]) == 0
    assert "WARNING: whatever was erased after the backup is back" in capsys.readouterr().out
    assert ids() == ["ada"]


def test_audit_logs_of_other_machines_and_older_files_are_read(
    folder: Path, capsys: Captured
) -> None:
    assert main(["backup", "a.palm"]) == 0
    log = folder / "audit.jsonl"
    log.rename("audit.1")
    erase("ada")
    here = folder.parent / "here"
    here.mkdir()
    for file in folder.glob("audit.jsonl*"):
        file.rename(here / file.name)
    lose_gallery(folder)
    assert main(["restore", "a.palm"]) == 2
    assert "there is no audit log" in capsys.readouterr().err
    assert main(["restore", "a.palm", "--audit", "audit.1", "here/audit.jsonl"]) == 0
    assert ids() == ["eve"]
    assert head_of(log).exists()


def test_a_gallery_moves_to_a_machine_with_another_master_key(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["backup", "a.palm", "--key-file", "moving.key"]) == 0
    assert stat.S_IMODE(Path("moving.key").stat().st_mode) == 0o600
    assert "keep a copy of that key" in capsys.readouterr().out
    monkeypatch.setenv("PALM_MASTER_KEY", "0f" * 32)
    monkeypatch.setenv("PALM_GALLERY_URL", "sqlite:///there/gallery.db")
    monkeypatch.setenv("PALM_AUDIT_FILE", "there/audit.jsonl")
    assert main(["restore", "a.palm", "--without-erasures"]) == 2
    assert "was made with another key" in capsys.readouterr().err
    assert main(["restore", "a.palm", "--key-file", "missing.key"]) == 2
    assert "there is no key missing.key" in capsys.readouterr().err
    moving = ["restore", "a.palm", "--key-file", "moving.key"]
    assert main([*moving, "--audit", "data/audit.jsonl"]) == 0
    assert ids() == ["ada", "eve"]
    assert main(["audit", "verify"]) == 0


def test_a_backup_from_before_a_rotation_needs_the_former_master_key(
    folder: Path, capsys: Captured
) -> None:
    former = (folder / "master.key").read_text()
    assert main(["backup", "a.palm"]) == 0
    assert main(["rotate-master-key", "--new-file", "new.key"]) == 0
    assert main(["restore", "a.palm", "--replace"]) == 2
    assert "the master key of then" in capsys.readouterr().err
    Path("former.key").write_text(former)
    assert main(["restore", "a.palm", "--replace", "--key-file", "former.key"]) == 0
    assert ids() == ["ada", "eve"]
    with closing(open_gallery(read_settings())) as gallery:
        gallery.delete("ada")


def test_an_audit_log_of_another_gallery_is_refused(folder: Path, capsys: Captured) -> None:
    assert main(["backup", "a.palm"]) == 0
    lose_gallery(folder)
    lose_audit_log(folder)
    assert main(["keys", "create", "door", "--scope", "all"]) == 0  # in a new gallery
    assert main(["restore", "a.palm", "--without-erasures"]) == 2
    assert "audit.jsonl belongs to another gallery" in capsys.readouterr().err
    lose_audit_log(folder)
    assert main(["restore", "a.palm", "--without-erasures"]) == 0
    assert ids() == ["ada", "eve"]


def test_backups_of_another_kind_are_refused(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("text").write_text("hello")
    assert main(["restore", "text", "--replace"]) == 2
    assert "no backup" in capsys.readouterr().err
    assert main(["restore", "missing", "--replace"]) == 2
    assert "missing" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("app.commands.backups.newest_revision", lambda: "0003")
        assert main(["backup", "old.palm"]) == 0
        patch.setattr(sealing, "MAGIC", b"palm backup 9\n")
        assert main(["backup", "newer.palm"]) == 0
    assert main(["restore", "old.palm", "--replace"]) == 2
    assert "schema revision '0003'" in capsys.readouterr().err
    assert main(["restore", "newer.palm", "--replace"]) == 2
    assert "format of another release" in capsys.readouterr().err
    assert ids() == ["ada", "eve"]


def test_a_restore_that_fails_is_told_in_one_line(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["backup", "a.palm"]) == 0
    content = Path("a.palm").read_bytes()
    Path("a.palm").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    capsys.readouterr()
    assert main(["restore", "a.palm", "--replace"]) == 2
    assert "damaged or was altered" in capsys.readouterr().err
    Path("a.palm").write_bytes(content)

    def fail(*_: object, **__: object) -> None:
        raise GalleryUnusable("no room")

    monkeypatch.setattr("app.gallery.backup.sql.restore_gallery", fail)
    assert main(["restore", "a.palm", "--replace"]) == 2
    assert capsys.readouterr().err == "python -m app: no room\n"
    assert ids() == ["ada", "eve"]
