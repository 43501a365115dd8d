"""The figures of an evaluation, and where they are written."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.matching.calibration import FPIR_TARGET
from training.__main__ import main
from training.commands.evaluate import majority_vote
from training.database.palms import load_palms
from training.database.split import split_palms
from training.versions.fuse import read_fusion
from training.versions.read import Version

NETS = ("alexnet", "vgg16")


def command(database: Path, strangers: Path, store: Path, out: Path) -> list[str]:
    places = ["--data", str(database), "--strangers", str(strangers), "--store", str(store)]
    return ["evaluate", *places, "--out", str(out), "--size-px", "32", "--split", "seed",
            "--nets", *NETS]  # fmt: skip


@pytest.fixture(scope="module")
def out(
    database: Path,
    other_strangers: Path,
    toy_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The report of the two toy nets."""
    path = tmp_path_factory.mktemp("evaluation") / "new" / "report.json"
    assert main(command(database, other_strangers, toy_store, path)) == 0
    return path


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    return json.loads(out.read_text())


def test_two_files_are_written(out: Path, report: dict[str, Any]) -> None:
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.json", "report.md"]
    table = out.with_suffix(".md").read_text()
    for name in (*NETS, "fused", "majority vote", "mean probability"):
        assert f"\n| {name} | " in table
    assert list(report["nets"]) == [*NETS, "fused"]


def test_the_rates_are_those_of_the_service_s_answers(
    report: dict[str, Any], database: Path, other_strangers: Path, toy_store: Path
) -> None:
    test = split_palms(load_palms(database, 32), by="seed").test
    strangers = load_palms(other_strangers, 32)
    versions = [Version.open(toy_store / net / "1") for net in NETS]
    fusion = read_fusion(toy_store, [version.key for version in versions])
    known, unknown = (
        fusion.combine([version.scores(some) for version in versions]) for some in (test, strangers)
    )
    correct = known.argmax(axis=1) == test.labels
    limits = fusion.calibration.at(FPIR_TARGET / 4, np.full(4, 3), probes=1, impostors=None)
    threshold, temperature = limits.scores[0], limits.temperatures[0]

    def accepted(similarities: np.ndarray) -> np.ndarray:
        odds = np.exp((similarities.astype(np.float64) - threshold) / temperature)
        best = odds.max(axis=1)
        return (best >= 1) & (best >= odds.sum(axis=1) + 1 - best)

    found = report["nets"]["fused"]
    assert (report["test_images"], report["stranger_images"]) == (len(test), len(strangers))
    assert found["correct"] == correct.sum()
    assert found["identified"] == pytest.approx((correct & accepted(known)).mean())
    assert found["false_positives"] == accepted(unknown).sum()
    assert found["top_5"] == 1  # of four identities
    errors = sum(one["errors"] for one in report["worst_identities"])
    assert errors == (~correct).sum()
    # One net twice: whatever fuses them, the accuracy is that of the net.
    accuracy = report["nets"]["alexnet"]["accuracy"]
    assert set(report["other_fusions"].values()) == {accuracy}


def test_the_last_line_has_the_path_and_the_verdict(
    database: Path,
    other_strangers: Path,
    toy_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Path(shutil.copytree(toy_store / "alexnet", tmp_path / "store/alexnet")).parent
    arguments = command(database, other_strangers, store, tmp_path / "report.json")[
        :-1
    ]  # AlexNet alone
    assert main(arguments) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{tmp_path}/report.json: alexnet identifies ")
    assert last.endswith("target 1%)")


def test_nets_without_a_fusion_are_refused_and_no_report_is_written(
    database: Path,
    other_strangers: Path,
    toy_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Path(shutil.copytree(toy_store, tmp_path / "store"))
    (store / "fusion.json").unlink()
    assert main(command(database, other_strangers, store, tmp_path / "out/report.json")) == 2
    assert "fusion.json is missing: run `python -m training fuse`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_strangers_that_calibrated_do_not_measure(
    database: Path,
    strangers: Path,
    toy_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(database, strangers, toy_store, tmp_path / "out/report.json")) == 2
    assert "calibrated these nets, so it cannot measure them" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("votes", "confidences", "winner"),
    [
        ([0, 0, 1], [0.4, 0.4, 1.0], 0),
        ([0, 1, 2], [0.4, 0.9, 0.5], 1),
        ([0, 0, 1, 1], [0.5, 0.6, 0.4, 0.7], 1),
        ([1, 0, 0, 1], [0.4, 0.7, 0.5, 0.6], 0),
    ],
)
def test_the_most_confident_net_decides_a_tie(
    votes: list[int], confidences: list[float], winner: int
) -> None:
    probabilities = np.zeros((len(votes), 1, 3))
    probabilities[range(len(votes)), 0, votes] = confidences
    assert majority_vote(probabilities) == [winner]
