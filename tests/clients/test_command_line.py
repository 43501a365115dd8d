"""The command `palm`, as people and programs use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from palm_vein_client import PalmClient, Retries
from palm_vein_client.command_line import main

from benchmarks.server import REPOSITORY
from tests.app.api.conftest import png
from tests.app.api.test_batch import BROKEN


@pytest.fixture(autouse=True)
def _environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_URL", url)
    monkeypatch.delenv("PALM_API_KEY", raising=False)


def write(folder: Path, name: str, content: bytes) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return str(file)


def test_a_person_from_enrolment_to_erasure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, probe = (write(tmp_path, f"{shot}.png", png(9, shot)) for shot in range(3))
    assert main(["identify", probe]) == 1
    assert capsys.readouterr().out.startswith("no_match\t")
    assert main(["enroll", "ada", one, two, "--name", "Ada"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "ada\tenrolled"
    assert main(["identify", probe, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identity"]["subject_id"] == "ada"
    assert main(["verify", "ada", probe]) == 0
    assert main(["verify", "p001", probe]) == 1
    assert main(["inspect", probe]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("usable\tquality")
    assert main(["people"]) == 0
    assert "ada\tenrolled\tAda" in capsys.readouterr().out.splitlines()
    assert main(["export"]) == 0
    assert [json.loads(x)["subject"]["name"] for x in capsys.readouterr().out.splitlines()] == [
        "Ada"
    ]
    assert main(["erase", "ada"]) == 0
    assert "receipt" in capsys.readouterr().out
    assert main(["erase", "ada"]) == 3
    assert "'ada'" in capsys.readouterr().err


def test_a_folder_of_people_is_imported_whoever_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shot in range(2):
        write(tmp_path, f"ada/session-{shot}/01.png", png(8, shot))
    write(tmp_path, "bob/01.png", BROKEN)
    write(tmp_path, "cy/notes.txt", b"none")
    write(tmp_path, "dee/01.JPG", png(9))
    assert main(["import", str(tmp_path), "--json"]) == 3
    report = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["subject_id"], one["outcome"]) for one in report] == [
        ("ada", "enrolled"),
        ("bob", "refused"),
        ("cy", "refused"),
        ("dee", "enrolled"),
    ]
    assert "image 1 of 1" in report[1]["detail"]
    main(["import", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[0].startswith("ada\texists\t")


def test_wrong_use_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", str(tmp_path / "absent.png")]) == 2
    assert "absent.png" in capsys.readouterr().err
    assert main(["import", str(tmp_path)]) == 2
    assert main(["identify", write(tmp_path, "a.png", BROKEN)]) == 3
    told = capsys.readouterr().err.splitlines()
    assert "[422, request " in told[-1]
    with pytest.raises(SystemExit) as wrong:
        main(["identify"])
    assert wrong.value.code == 2


def test_a_service_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def connect(_url: str, key: str | None) -> PalmClient:
        return PalmClient("http://127.0.0.1:1", key, retries=Retries(attempts=1))

    assert main(["people"], connect) == 5
    assert "http://127.0.0.1:1/v1/subjects" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", ["palm.example", "http://", "http://palm:x", "ftp://palm.example"]
)
def test_an_address_that_is_none_is_told(
    wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PALM_URL", wrong)
    assert main(["people"]) == 2
    assert f"{wrong!r}" in capsys.readouterr().err


def test_a_reader_who_has_enough_is_no_error(url: str) -> None:
    found = subprocess.run(
        f"{sys.executable} -m palm_vein_client.command_line people | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "clients/python/src"), "PALM_URL": url},
        capture_output=True,
        text=True,
    )
    assert (found.stdout, found.stderr) == ("0\n", "")


def test_the_key_comes_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with PalmClient(url) as client:
        key = client.create_key("desk", ["read"]).api_key
    assert main(["people"]) == 3
    monkeypatch.setenv("PALM_API_KEY", key)
    assert main(["people"]) == 0


def test_it_runs_as_a_program_and_explains_its_exit_statuses() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "palm_vein_client.command_line", "--help"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "clients/python/src")},
        capture_output=True,
        text=True,
        check=True,
    )
    for word in ("PALM_URL", "PALM_API_KEY", "  1  nobody", "  5  the service was not reached"):
        assert word in found.stdout
