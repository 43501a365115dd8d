"""`python -m app import`: many people from a folder or an archive."""

import argparse
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.commands.import_plan import make_plan
from app.commands.import_sources import open_source
from app.commands.importing import run_import
from app.gallery.errors import GalleryUnusable
from app.gallery.sql.gallery import SqlGallery
from app.settings import Settings
from app.wiring import open_gallery
from tests.app.api.conftest import (
    enroll,
    identify,
    load_toy_ensemble,
    load_toy_finder,
    local_client,
    make_app,
    make_settings,
    png,
)

Files = Mapping[str, bytes]
Write = Callable[[Files], Path]

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
PEOPLE = {
    "ada/2.png": png(50, 1),
    "ada/1.png": png(50),
    "bob/1.png": png(60),
    ".DS_Store": b"",
    "__MACOSX/ada/._1.png": b"",
    "ada/Thumbs.db": b"",
}


def write_folder(target: Path, files: Files) -> Path:
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def write_zip(target: Path, files: Files) -> Path:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.with_suffix(".zip")


@pytest.fixture(params=[write_folder, write_zip], ids=["folder", "zip"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    return lambda files: request.param(tmp_path / "people", files)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


def run(settings: Settings, path: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Imports with toy nets; returns the exit status and the report by id."""
    report = path.parent / "report.jsonl"
    chosen = argparse.Namespace(path=path, report=report)
    status = run_import(
        settings, chosen, load_ensemble=load_toy_ensemble, load_finder=load_toy_finder
    )
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    return status, {line.pop("subject_id"): line for line in lines}


def outcomes(report: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {subject_id: line["outcome"] for subject_id, line in report.items()}


def table(*lines: str) -> Files:
    return {**PEOPLE, "subjects.csv": "\r\n".join(lines).encode("utf-8-sig")}


def test_people_are_imported_as_if_enrolled_and_skipped_afterwards(
    write: Write, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        table(
            "subject_id,name,hand,collection,camera,consent,retain_until,metadata.department",
            f'ada,"Byron, Ada",left,staff,door,form 1,{TOMORROW},Archive',
            "",
        )
    )
    status, report = run(settings, path)
    assert status == 0
    assert report == {
        "ada": {"images": 2, "outcome": "enrolled", "reason": None},
        "bob": {"images": 1, "outcome": "enrolled", "reason": None},
    }
    assert "2 of 2 subjects: 2 enrolled" in capsys.readouterr().err
    with local_client(make_app(settings)) as client:
        ada = client.get("/v1/subjects/ada").json()
        assert (ada["name"], ada["hand"], ada["consent"]) == ("Byron, Ada", "left", "form 1")
        assert ada["collection"] == "staff"
        assert client.get("/v1/subjects/bob").json()["collection"] == "default"
        assert ada["metadata"] == {"department": "Archive"}
        assert ada["retain_until"]
        assert identify(client, png(60, 1)).json()["identity"]["subject_id"] == "bob"
        assert ada["collection"] == "staff"
        templates = client.get("/v1/subjects/ada/templates").json()["templates"]
        assert [one["camera"] for one in templates] == ["door", "door"]
    assert outcomes(run(settings, path)[1]) == {"ada": "exists", "bob": "exists"}
    assert settings.audit_file is not None
    audited = [json.loads(line) for line in settings.audit_file.read_text().splitlines()]
    imported = [one for one in audited if one.get("action") == "import"]
    assert [one["phase"] for one in imported] == ["begun", "done"] * 2
    assert "bob" not in settings.audit_file.read_text()  # "ada" may stand in a hash


def test_an_import_beside_a_running_service_is_found_at_once(
    write: Write, settings: Settings
) -> None:
    with local_client(make_app(settings)) as client:
        enroll(client, "bob", png(60)).raise_for_status()
        assert outcomes(run(settings, write(PEOPLE))[1]) == {"ada": "enrolled", "bob": "exists"}
        assert identify(client, png(50, 2)).json()["identity"]["subject_id"] == "ada"


def test_one_subject_s_fault_does_not_keep_the_others_out(write: Write, settings: Settings) -> None:
    small = settings.model_copy(update={"max_image_mb": 1})
    path = write(
        {
            **PEOPLE,
            "two-palms/1.png": png(70),
            "two-palms/2.png": png(80),
            "known/1.png": png(50, 3),
            "no-image/1.png": b"text",
            "large/1.png": b"\0" * (2**20 + 1),
            "many/1.png": png(90),
            **{f"many/{n}.png": png(90, n) for n in range(2, 12)},
        }
    )
    status, report = run(small, path)
    assert status == 1
    assert outcomes(report) == {
        "ada": "enrolled",
        "bob": "enrolled",
        "known": "refused",
        "large": "refused",
        "many": "refused",
        "no-image": "refused",
        "two-palms": "refused",
    }
    for one, words in {
        "known": "'ada'",
        "large": "more than 1048576",
        "many": "11 images; 1 to 10",
        "no-image": "image 1 of 1",
        "two-palms": "one palm",
    }.items():
        assert words in report[one]["reason"], one


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["subject_id,nmae", "ada,Ada"], "'nmae'; did you mean name?"),
        (["name", "Ada"], "no column subject_id"),
        (["subject_id,name,name", "ada,a,b"], "column 'name' twice"),
        (["subject_id,name", "ada,a", "ada,b"], "line 3: 'ada' is there twice"),
        (["subject_id", "ada", "eve"], "'eve', but there is no folder"),
        (["subject_id,name", "ada"], "line 2: 1 cells instead of 2"),
        (["subject_id,hand", "ada,both"], "line 2: hand: "),
        (["subject_id,collection", "ada,Staff"], "line 2: collection: "),
        (["subject_id,retain_until", "ada,2020-01-01T00:00:00Z"], "future"),
        (["subject_id,metadata.-a", "ada,x"], "metadata"),
        (["subject_id,name", 'ada,"x'], "cannot be read"),
    ],
)
def test_a_wrong_table_stops_the_import_before_anybody_is_enrolled(
    tmp_path: Path, settings: Settings, lines: list[str], words: str
) -> None:
    path = write_folder(tmp_path / "people", table(*lines))
    with pytest.raises(ValueError, match="nothing was imported") as refused:
        run(settings, path)
    assert words in str(refused.value)
    assert not (tmp_path / "gallery.db").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"-ada/1.png": b"x"}, "folder '-ada'"),
        ({"ada/1.png": b"x", "Ada/1.png": b"x"}, "'Ada' and 'ada' differ only in capital"),
        ({"1.png": b"x"}, "1.png is in no subject's folder"),
        ({"ada/s1/1.png": b"x"}, "ada/s1"),
        ({".hidden": b""}, "no folder of a subject's images"),
        ({"ada/1.png": b"x", "subjects.csv": b"subject_id\n\xff"}, "UTF-8"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(write: Write, files: Files, words: str) -> None:
    with open_source(write(files)) as source, pytest.raises(ValueError, match="nothing") as refused:
        make_plan(source)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["../ada/1.png", "/ada/1.png", "ada/../../1.png", "c:/1.png"])
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with (
        open_source(write_zip(tmp_path / "people", {name: b"x"})) as source,
        pytest.raises(ValueError, match="leads out of the archive"),
    ):
        make_plan(source)


def test_links_are_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "people", PEOPLE)
    (path / "ada" / "3.png").symlink_to(tmp_path / "elsewhere")
    with open_source(path) as source, pytest.raises(ValueError, match=r"ada/3\.png is a link"):
        make_plan(source)


def test_a_bomb_is_unpacked_no_further_than_an_image_may_be_large(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_zip(tmp_path / "people", {"ada/1.png": bytes(2**26), "bob/1.png": png(60)})
    assert path.stat().st_size < 2**17
    with open_source(path) as source:
        assert len(source.read("ada", "1.png", most=1000)) == 1000
    small = settings.model_copy(update={"max_image_mb": 1})
    assert outcomes(run(small, path)[1]) == {"ada": "refused", "bob": "enrolled"}


def test_a_damaged_archive_fails_only_for_whom_it_is_damaged(
    tmp_path: Path, settings: Settings
) -> None:
    path = tmp_path / "people.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ada/1.png", png(50))
        archive.writestr("bob/1.png", png(60))
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # within the first image
    path.write_bytes(content)
    status, report = run(settings, path)
    assert (status, outcomes(report)) == (1, {"ada": "failed", "bob": "enrolled"})
    assert "damaged" in report["ada"]["reason"]
    path.write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"neither a folder nor a \.zip"):
        run(settings, path)


def test_an_interrupted_import_goes_on_by_the_same_command(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_folder(tmp_path / "people", PEOPLE)
    enroll_really = SqlGallery.enroll

    def fail_later(self: SqlGallery, subject_id: str, *rest: Any, **options: Any) -> Any:
        if subject_id == "bob":
            raise GalleryUnusable("the database is gone")
        return enroll_really(self, subject_id, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SqlGallery, "enroll", fail_later)
        with pytest.raises(GalleryUnusable, match="gone"):
            run(settings, path)
    lines = [json.loads(one) for one in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [one["outcome"] for one in lines] == ["enrolled", "failed"]
    assert outcomes(run(settings, path)[1]) == {"ada": "exists", "bob": "enrolled"}
    with closing(open_gallery(settings)) as gallery:
        assert len(gallery.templates("ada")) == 2


def test_the_command_names_what_is_wrong_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", "nowhere"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere" in line
