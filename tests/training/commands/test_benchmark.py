"""The command from end to end on toy nets: what it writes, what it warns of, what it refuses."""

import json
import re
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.training.toy_trials import make_case
from tests.training.toy_versions import write_toy_fusion, write_toy_palms, write_toy_version
from training.__main__ import main
from training.database.palms import load_palms

IDENTITIES = 42
NAMES = ["alexnet/1 map", "alexnet/1 embedding", "vgg16/1 map", "vgg16/1 embedding",
         "fused", "classical"]  # fmt: skip

CASES = tuple(
    make_case((at, 0.1), (at + 0.1, 1e-2), (at + 0.2, 1e-3), templates=count, mean_map=mean_map)
    for at, mean_map in ((0.4, False), (0.15, True))
    for count in (1, 3)
)


@pytest.fixture(scope="module")
def palms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of 42 toy palms, with two sessions of two images."""
    folder = tmp_path_factory.mktemp("palms") / "toys"
    write_toy_palms(folder, IDENTITIES)
    return folder


@pytest.fixture(scope="module")
def store(palms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a store with alexnet/1, trained on these palms, with vgg16/1, and their fusion."""
    store = tmp_path_factory.mktemp("store")
    digest = load_palms(palms, 32).sha256
    write_toy_version(store / "alexnet/1", CASES, seed=1, sha256=digest)
    write_toy_version(store / "vgg16/1", CASES, seed=2)
    write_toy_fusion(store, ("alexnet/1", "vgg16/1"), CASES)
    return store


def command(palms: Path, store: Path, out: Path, *more: str) -> list[str]:
    places = ["--data", str(palms), "--store", str(store), "--out", str(out)]
    return ["benchmark", *places, "--size-px", "32", "--nets", "alexnet", "vgg16", *more]


@pytest.fixture(scope="module")
def folder(palms: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    assert main(command(palms, store, out)) == 0
    return out


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What the JSON file holds."""
    return json.loads((folder / "benchmark.json").read_text())


def test_three_files_are_written_with_a_row_for_every_matcher(
    folder: Path, report: dict[str, Any]
) -> None:
    assert [one["name"] for one in report["matchers"]] == NAMES
    assert sorted(path.name for path in folder.iterdir()) == [
        "benchmark.html",
        "benchmark.json",
        "benchmark.md",
    ]
    first, *others = (folder / "benchmark.md").read_text().split("\n**")[-4:]
    assert re.findall(r"^\| ([a-z][\w/ ]+) \|", first, re.MULTILINE) == ["matcher", *NAMES]
    maps = [name for name in NAMES if name.endswith("map") or name == "fused"]
    for table in others:
        rows = re.findall(r"^\| ([a-z][\w/ ]+) \|", table, re.MULTILINE)
        assert list(dict.fromkeys(rows)) == ["matcher", *maps]
    assert "<svg" in (folder / "benchmark.html").read_text()


def test_counts_are_those_of_the_database(report: dict[str, Any]) -> None:
    database = report["database"]
    # The first of two sessions, of two images, is the template.
    expected = {"identities": 42, "persons": 42, "sessions": 2, "templates": 84, "probes": 84}
    assert {name: database[name] for name in expected} == expected
    for one in report["matchers"]:
        assert (one["genuine_comparisons"], one["impostor_comparisons"]) == (84, 84 * 41)
        assert one["fnmr"]["1e-3"] is not None
        assert one["fnmr"]["1e-4"] is None, "3,444 comparisons are too few"


def test_toy_palms_are_recognized_by_all_matchers(report: dict[str, Any]) -> None:
    for one in report["matchers"]:
        assert one["rank_1"]["value"] > 0.9, one["name"]
        assert one["eer"]["value"] < 0.1, one["name"]


def test_maps_are_measured_at_their_thresholds_and_without_the_mean_map(
    report: dict[str, Any],
) -> None:
    one = report["matchers"][0]
    assert one["mean_map"]["subtracted"]
    assert one["mean_map"]["without"]["eer"]["count"] == 84
    stated = one["stated"]
    assert stated["1e-2"]["comparisons"] == 84 * 41
    assert stated["1e-2"]["matches"] >= stated["1e-3"]["matches"]
    assert stated["1e-4"] is None, "the toy's calibration ends at 1e-3"
    outside = [(case["enrolled"], case["strangers"]) for case in one["mean_map"]["outside"]]
    assert outside == [(0, 42), (20, 22)]


def test_a_net_that_was_trained_on_the_database_is_named(
    folder: Path, report: dict[str, Any]
) -> None:
    first = report["warnings"][0]
    trained = "alexnet/1 was trained on this database, or calibrated with it (2 of 42 "
    assert first.startswith(trained)
    assert not any(one.startswith("vgg16/1 was trained") for one in report["warnings"])
    assert f"**{first}.**" in (folder / "benchmark.md").read_text()


def test_the_report_names_no_person_and_no_file(folder: Path) -> None:
    everything = "".join(path.read_text() for path in folder.iterdir())
    assert not re.search(r"\bp0[0-4][0-9]\b|\.png", everything)


def test_one_template_and_maps_compared_otherwise_change_the_similarities(
    palms: Path, store: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    found = {}
    for name, value in (("templates", "1"), ("shift", "1"), ("channels", "wide")):
        out = tmp_path / name
        options = ["--no-classical", f"--{name}", value]
        assert main(command(palms, store, out, *options)) == 0
        found[name] = json.loads((out / "benchmark.json").read_text())
    assert found["templates"]["database"]["templates"] == 42
    assert found["templates"]["database"]["probes"] == 84
    assert found["templates"]["matchers"][0]["stated"]["1e-2"]["comparisons"] == 84 * 41
    assert found["shift"]["matchers"][0]["reliability"] is None
    assert found["shift"]["matchers"][0]["stated"] == dict.fromkeys(
        ("1e-2", "1e-3", "1e-4", "1e-5")
    )
    assert found["shift"]["comparison"]["unlike_service"].startswith("maps are shifted by up to 1")
    distributions = [one["matchers"][0]["distributions"] for one in (report, *found.values())]
    assert all(one != other for one, other in combinations(distributions, 2))


def test_the_last_line_has_the_path_and_the_verdict(
    palms: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = command(palms, store, tmp_path)[:-3]  # no net
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


def one_image_each(_: Path, palms: Path) -> list[str]:
    for image in palms.glob("*/*/*"):
        if image.parent.name != "s1" or image.stem != "01":
            image.unlink()
    return []


def one_identity(_: Path, palms: Path) -> list[str]:
    for folder in sorted(palms.iterdir())[1:]:
        shutil.rmtree(folder)
    return []


def no_matcher(_: Path, __: Path) -> list[str]:
    return ["--nets", "--no-classical"]


def no_template(_: Path, __: Path) -> list[str]:
    return ["--templates", "0"]


def no_window(_: Path, __: Path) -> list[str]:
    return ["--shift", "8"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_version, "holds no version of vgg19: train and export it"),
        (other_size, "alexnet/1 takes images of 32 px.*give --size-px 32"),
        (not_fused, "fusion.json is missing: run `python -m training fuse`"),
        (one_image_each, "none of 42 identities has a second image.*: add images$"),
        (one_identity, "identit"),
        (no_matcher, "there is no matcher: give --nets"),
        (no_template, "--templates must be at least 1, not 0"),
        (no_window, "--shift 8 does not fit the map of alexnet/1.*choose 0 to 7"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_benchmark_that_cannot_be_made_is_one_line_and_exit_code_2_and_no_report(
    spoil: Any,
    message: str,
    palms: Path,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copies = (Path(shutil.copytree(one, tmp_path / one.name)) for one in (store, palms))
    copied_store, copied_palms = copies
    more = spoil(copied_store, copied_palms)
    capsys.readouterr()
    assert main(command(copied_palms, copied_store, tmp_path / "report", *more)) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1].split("\r")[-1].strip()
    assert last.startswith("benchmark: ")
    assert re.search(message, last), last
    assert not (tmp_path / "report").exists()
