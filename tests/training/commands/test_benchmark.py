"""The command from end to end on toy nets: what it writes, what it warns of, what it refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from training.__main__ import main


def command(database: Path, store: Path, out: Path, *more: str) -> list[str]:
    places = ["--data", str(database), "--store", str(store), "--out", str(out)]
    return ["benchmark", *places, "--size-px", "32", "--nets", "alexnet", "vgg16", *more]


@pytest.fixture(scope="module")
def folder(database: Path, toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    assert main(command(database, toy_store, out)) == 0
    return out


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What the JSON file holds."""
    return json.loads((folder / "benchmark.json").read_text())


def test_three_files_are_written_with_a_row_for_every_matcher(
    folder: Path, report: dict[str, Any]
) -> None:
    names = ["alexnet", "vgg16", "fused", "classical"]
    assert [one["name"] for one in report["matchers"]] == names
    assert sorted(path.name for path in folder.iterdir()) == [
        "benchmark.html",
        "benchmark.json",
        "benchmark.md",
    ]
    table = (folder / "benchmark.md").read_text()
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == ["matcher", *names]
    assert "<svg" in (folder / "benchmark.html").read_text()


def test_counts_are_those_of_the_database(report: dict[str, Any]) -> None:
    database = report["database"]
    # Four palms, three sessions, three shots: the first session is the template.
    expected = {"identities": 4, "persons": 4, "sessions": 3, "templates": 12, "probes": 24}
    assert {name: database[name] for name in expected} == expected
    for one in report["matchers"]:
        assert (one["genuine_comparisons"], one["impostor_comparisons"]) == (24, 72)
        assert [gallery["size"] for gallery in one["open_set"]] == [3]
        assert all(rate is None for rate in one["fnmr"].values()), "72 comparisons are too few"


def test_a_net_that_was_trained_on_the_database_is_named(
    folder: Path, report: dict[str, Any]
) -> None:
    first = report["warnings"][0]
    trained = "alexnet/1 was trained on this database, or calibrated with it (4 of 4 "
    assert first.startswith(trained)
    assert f"**{first}.**" in (folder / "benchmark.md").read_text()


def test_the_report_names_no_person_and_no_file(folder: Path) -> None:
    everything = "".join(path.read_text() for path in folder.iterdir())
    assert not re.search(r"\bp00[1-4]\b|\.png", everything)


def test_the_last_line_has_the_path_and_the_verdict(
    database: Path, toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = command(database, toy_store, tmp_path)[:-3]  # no net
    assert main([*places, "--nets"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    pattern = r"/benchmark\.html: classical has an equal error rate, .*%"
    assert re.search(pattern, last), last


def no_version(store: Path, _: Path) -> list[str]:
    return ["--nets", "vgg19"]


def other_size(store: Path, _: Path) -> list[str]:
    return ["--size-px", "48"]


def not_fused(store: Path, _: Path) -> list[str]:
    (store / "fusion.json").unlink()
    return []


def one_image_each(_: Path, database: Path) -> list[str]:
    for image in database.glob("*/*/*"):
        if image.parent.name != "s1" or image.stem != "01":
            image.unlink()
    return []


def one_identity(_: Path, database: Path) -> list[str]:
    for folder in sorted(database.iterdir())[1:]:
        shutil.rmtree(folder)
    return []


def no_matcher(_: Path, __: Path) -> list[str]:
    return ["--nets", "--no-classical"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_version, "holds no version of vgg19: train and export it"),
        (other_size, "alexnet/1 takes images of 32 px.*give --size-px 32"),
        (not_fused, "fusion.json is missing: run `python -m training fuse`"),
        (one_image_each, "none of 4 identities has a second image.*: add images$"),
        (one_identity, "identit"),
        (no_matcher, "there is no matcher: give --nets"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_benchmark_that_cannot_be_made_is_one_line_and_exit_code_2_and_no_report(
    spoil: Any,
    message: str,
    database: Path,
    toy_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, data = (Path(shutil.copytree(one, tmp_path / one.name)) for one in (toy_store, database))
    more = spoil(store, data)
    capsys.readouterr()
    assert main(command(data, store, tmp_path / "report", *more)) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1].split("\r")[-1].strip()
    assert last.startswith("benchmark: ")
    assert re.search(message, last), last
    assert not (tmp_path / "report").exists()
