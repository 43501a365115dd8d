"""API keys on the command line, and the master key that they depend on."""

import hmac
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.__main__ import main
from app.access.key_ring import DIGEST_BYTES, issue
from app.access.keys import SCOPES
from app.master_key import MasterKeys, MasterKeyUnusable
from tests.app.conftest import largest_file

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to a working directory without a .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: Captured, *arguments: str, status: int = 0) -> str:
    """Runs a command and returns what it prints."""
    assert main(["keys", *arguments]) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


def test_a_key_is_created_listed_and_revoked(capsys: Captured) -> None:
    token = run(capsys, "create", "front door", "--scope", "inspect", "--scope", "identify")
    assert re.fullmatch(r"palm_[0-9a-f]{8}_[A-Za-z0-9_-]{43}\n", token)
    run(capsys, "create", "ops", "--scope", "all", "--days", "30")
    key_id = token.split("_")[1]
    first, second = run(capsys, "list").splitlines()
    assert first == f"{key_id}  for good  identify,inspect  front door"
    assert second.endswith(f"{','.join(SCOPES)}  ops")
    assert "until 20" in second
    assert token.split("_", 2)[2].strip() not in first
    assert "expired" in run(capsys, "revoke", key_id)
    assert "expired" in run(capsys, "list").splitlines()[0]


def test_a_key_may_be_limited_to_collections(capsys: Captured) -> None:
    create = ("create", "gate", "--scope", "identify", "--collection", "staff")
    run(capsys, *create, "--collection", "guests")
    assert run(capsys, "list").endswith("  identify  in guests,staff  gate\n")
    for admin in ("admin", "all"):
        assert "'admin' cannot be limited" in run(capsys, *create, "--scope", admin, status=2)
    with pytest.raises(SystemExit):
        main(["keys", *create, "--collection", "Gäste"])
    assert "1 to 64 small letters" in capsys.readouterr().err
    assert len(run(capsys, "list").splitlines()) == 1


@pytest.mark.parametrize("until", [None, datetime(2030, 1, 1, tzinfo=UTC)])
def test_keys_of_the_former_release_are_sealed_alike(until: datetime | None) -> None:
    secret = bytes(range(32))
    stored, _ = issue("ops", ["read", "admin"], until, secret)
    told = f"{stored.key.key_id} read admin {until.isoformat() if until else None}".encode()
    own = stored.digest[:DIGEST_BYTES]
    assert stored.digest == own + hmac.digest(secret, b"seal:" + own + told, "sha256")


def test_a_key_that_does_not_exist_is_named(capsys: Captured) -> None:
    assert "'nobody'" in run(capsys, "revoke", "nobody", status=2)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_used_is_refused(capsys: Captured, name: str) -> None:
    assert "name" in run(capsys, "create", name, "--scope", "read", status=2)
    assert run(capsys, "list") == ""


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "40000", "soon"])
def test_days_that_cannot_be_counted_are_refused(capsys: Captured, days: str) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "create", "ops", "--scope", "read", f"--days={days}"])
    assert "1 to 36500" in capsys.readouterr().err


def test_without_the_master_key_no_other_is_made(capsys: Captured, folder: Path) -> None:
    run(capsys, "create", "ops", "--scope", "read")
    (folder / "data" / "master.key").unlink()
    for command in (["list"], ["create", "x", "--scope", "read"], ["reset"]):
        assert "data/master.key is missing" in run(capsys, *command, status=2)
    assert not (folder / "data" / "master.key").exists()


def test_all_keys_can_be_removed(capsys: Captured) -> None:
    run(capsys, "create", "ops", "--scope", "read")
    assert run(capsys, "reset") == "1 keys removed\n"
    assert run(capsys, "list") == ""


def test_the_master_key_may_stand_in_the_environment(
    capsys: Captured, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALM_MASTER_KEY", "0f" * 32)
    run(capsys, "create", "ops", "--scope", "read")
    assert not (folder / "data" / "master.key").exists()
    monkeypatch.setenv("PALM_MASTER_KEY", "secret")
    error = run(capsys, "list", status=2)
    assert "PALM_MASTER_KEY must hold 64 hexadecimal digits" in error
    assert "secret" not in error


def test_a_master_key_is_created_once_for_its_owner_only(folder: Path) -> None:
    file = folder / "new" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        read = [pool.submit(MasterKeys(None, file).read, may_create=True) for _ in range(8)]
    assert len({one.result() for one in read}) == 1
    assert [len(key) for key in read[0].result()] == [32]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"0f" * 31, b"0g" * 32, b"\xff" * 64])
def test_a_damaged_master_key_is_named_and_kept(folder: Path, content: bytes) -> None:
    file = folder / "master.key"
    file.write_bytes(content)
    with pytest.raises(MasterKeyUnusable, match=re.escape(str(file))):
        MasterKeys(None, file).read(may_create=True)
    assert file.read_bytes() == content


def test_keys_that_cannot_be_replaced_leave_no_copy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "master.key"
    masters = MasterKeys(None, file)
    old, *_ = masters.read(may_create=True)

    def fail(*_: object) -> None:
        raise OSError("no room")

    for seam in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, seam, fail)
            with pytest.raises(OSError, match="no room"):
                masters.replace([bytes(32), old])
    with largest_file(10), pytest.raises(OSError, match="large"):
        masters.replace([bytes(32), old])
    assert masters.read(may_create=False) == (old,)
    assert list(folder.iterdir()) == [file]


def test_a_master_key_that_other_users_may_read_is_warned_of_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "master.key"
    MasterKeys(None, file).read(may_create=True)
    assert not caplog.messages
    file.chmod(0o640)
    masters = MasterKeys(None, file)
    for _ in range(2):
        masters.read(may_create=False)
    (warning,) = caplog.messages
    assert f"{file} (mode 640)" in warning
    assert "chmod 600" in warning
