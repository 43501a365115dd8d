"""The commands that check erasures and rotate the master key."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.__main__ import main
from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.sql import sqlite
from app.gallery.sql.gallery import SqlGallery
from app.settings import read_settings
from app.wiring import open_gallery
from tests.app.gallery.conftest import VGG16, enroll
from tests.app.gallery.test_erasure import key_bytes, reading

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to a working directory without a .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_verification_lists_erasures_and_fails_while_one_is_pending(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    assert main(["erasures", "verify"]) == 0
    assert capsys.readouterr().out == ""
    with closing(open_gallery(read_settings())) as gallery:
        enroll(gallery, "zuse")
        with reading(folder / "gallery.db.keys"):
            erasure = gallery.delete("zuse")
            assert main(["erasures", "verify"]) == 1
            assert "pending" in capsys.readouterr().out
        assert main(["erasures", "verify"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(erasure.erasure_id)
    assert line.endswith(f"subject of {erasure.pseudonym}  database done  log done")
    assert "zuse" not in line


def test_verification_fails_if_a_file_cannot_be_written_anew(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)

    def fail(*_: object) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    with closing(open_gallery(read_settings())) as gallery:
        enroll(gallery, "ada")
        assert gallery.delete("ada").log == "done"
        with monkeypatch.context() as patch:
            patch.setattr(sqlite.SqliteFiles, "scrub", fail)
            assert main(["erasures", "verify"]) == 1
        receipt, failure = capsys.readouterr().out.splitlines()
        assert receipt.endswith("database done  log done")
        assert "may still be in the store's files" in failure
        assert "disk is full" in failure
        with reading(folder / "gallery.db"):
            assert main(["erasures", "verify"]) == 1
        assert "read by another program" in capsys.readouterr().out
        assert main(["erasures", "verify"]) == 0


def test_a_rotation_and_a_verification_are_audited(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["rotate-master-key", "--new-file", "new.key"]) == 0
    assert main(["erasures", "verify"]) == 0

    def fail(*_: object) -> None:
        raise GalleryUnusable("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(SqlGallery, "rotate_master_key", fail)
        assert main(["rotate-master-key", "--new-file", "newer.key"]) == 2
    log = (folder / "audit.jsonl").read_bytes()
    told = [json.loads(line) for line in log.splitlines()]
    assert [(one["action"], one["phase"]) for one in told] == [
        ("rotate-master-key", "begun"),
        ("rotate-master-key", "done"),
        ("erasures verify", "begun"),
        ("erasures verify", "done"),
        ("rotate-master-key", "begun"),
        ("rotate-master-key", "failed"),
    ]
    assert main(["audit", "verify"]) == 0


def test_a_rotation_to_the_current_key_or_its_file_is_refused(
    folder: Path, capsys: Captured
) -> None:
    assert main(["keys", "create", "ops", "--scope", "all"]) == 0
    before = (folder / "master.key").read_text()
    audited = (folder / "audit.jsonl").read_bytes()
    Path("link").symlink_to(folder / "master.key")
    for own in (str(folder / "master.key"), "data/../data/master.key", "link"):
        assert main(["rotate-master-key", "--new-file", own]) == 2
        assert "is the master key's file itself" in capsys.readouterr().err
    Path("copy.key").write_text(before)
    assert main(["rotate-master-key", "--new-file", "copy.key"]) == 2
    assert "copy.key holds the current master key" in capsys.readouterr().err
    assert (folder / "master.key").read_text() == before
    assert (folder / "audit.jsonl").read_bytes() == audited


def test_a_rotation_replaces_the_master_key_and_keeps_the_api_keys(
    folder: Path, capsys: Captured
) -> None:
    assert main(["keys", "create", "ops", "--scope", "all"]) == 0
    with closing(open_gallery(read_settings())) as gallery:
        gallery.enroll("ada", "Ada", None, {}, add=False)
        wrapped = key_bytes(gallery, "ada")
        assert any(wrapped in file.read_bytes() for file in folder.iterdir())
        former = (folder / "master.key").read_text()
        secret = gallery.secrets.api_keys
        assert main(["rotate-master-key", "--new-file", "new.key"]) == 0
        printed = capsys.readouterr().out
        assert "data/master.key holds the new master key" in printed
        assert "keep a copy of the new key apart from the gallery" in printed
        assert "copies of the former key once no backup of the gallery needs it" in printed
        assert not any(wrapped in file.read_bytes() for file in folder.iterdir())
        gallery.update("ada", {"name": "Ada Byron"})  # a running service goes on
    new = (folder / "master.key").read_text()
    assert new == Path("new.key").read_text() != former
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    with closing(open_gallery(read_settings())) as gallery:
        assert gallery.subject("ada").name == "Ada Byron"
        assert gallery.secrets.api_keys == secret
    (folder / "master.key").write_text(former)
    assert main(["keys", "list"]) == 2
    assert "PALM_MASTER_KEY_FILE" in capsys.readouterr().err


def test_templates_are_transformed_anew_and_the_former_key_is_destroyed(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    with closing(open_gallery(read_settings())) as gallery:
        enroll(gallery, "ada")
        before = gallery.changes(START, [VGG16], 9).maps[0].maps
        assert main(["rotate-templates"]) == 0
        printed = capsys.readouterr().out
        assert "under a new key; the former key is destroyed" in printed
        assert "erase those that were stolen" in printed
        with reading(folder / "gallery.db"):
            assert main(["rotate-templates"]) == 1
        assert "still in the store's files, which a program reads" in capsys.readouterr().out
        assert gallery.changes(START, [VGG16], 9).maps[0].maps == before  # a service goes on
    told = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert [(one["action"], one["phase"]) for one in told] == [
        ("rotate-templates", "begun"),
        ("rotate-templates", "done"),
    ] * 2


def test_a_rotation_tells_if_the_key_stands_in_the_environment(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALM_MASTER_KEY", "0f" * 32)
    assert main(["rotate-master-key", "--new-file", "new.key"]) == 0
    assert "PALM_MASTER_KEY still holds the former key" in capsys.readouterr().out
    assert not (folder / "master.key").exists()
    assert main(["keys", "list"]) == 2
    assert "another master key" in capsys.readouterr().err
    monkeypatch.setenv("PALM_MASTER_KEY", Path("new.key").read_text().strip())
    assert main(["keys", "list"]) == 0


def test_a_rotation_with_a_malformed_key_changes_nothing(folder: Path, capsys: Captured) -> None:
    assert main(["keys", "create", "ops", "--scope", "all"]) == 0
    before = (folder / "master.key").read_text()
    Path("new.key").write_text("0f" * 31)
    assert main(["rotate-master-key", "--new-file", "new.key"]) == 2
    assert "new.key must hold" in capsys.readouterr().err
    assert (folder / "master.key").read_text() == before
    assert main(["keys", "list"]) == 0
