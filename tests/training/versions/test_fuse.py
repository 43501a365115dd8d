"""fusion.json is read as it was written, or not at all; what writes it is in tests/contract."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from training.__main__ import main
from training.metrics.calibration import Calibration, Threshold, calibrate, surprise
from training.versions.fuse import read_fusion, standard_error, weigh, weighted_sum
from training.versions.read import checksum

KEYS = ["alexnet/1", "vgg16/1"]
CALIBRATION = Calibration(0.05, (Threshold(0.1, 0.2, 1000), Threshold(1e-05, 0.7093388349, 1000)))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A models store with fusion.json alone."""
    fusions = [{"nets": KEYS, "weights": [0.75, 0.25], **CALIBRATION.as_manifest()}]
    content = {"schema_version": 1, "sha256": checksum(fusions), "fusions": fusions}
    (tmp_path / "fusion.json").write_text(json.dumps(content, indent=1))
    return tmp_path


def test_a_fusion_is_read_as_it_was_written(store: Path) -> None:
    assert read_fusion(store, KEYS) == ([0.75, 0.25], CALIBRATION)


def test_a_fusion_that_is_not_there_is_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no entry for vgg16/1, vgg19/1: run `fuse` first"):
        read_fusion(store, ["vgg16/1", "vgg19/1"])
    with pytest.raises(FileNotFoundError, match="run `fuse` first"):
        read_fusion(tmp_path / "nowhere", KEYS)


def test_a_changed_digit_is_refused(store: Path) -> None:
    path = store / "fusion.json"
    path.write_text(path.read_text().replace("0.7093", "0.1093"))
    with pytest.raises(ValueError, match=r"fusion\.json was changed .*: run `fuse` again"):
        read_fusion(store, KEYS)


def test_a_fusion_without_a_checksum_is_refused(store: Path) -> None:
    path = store / "fusion.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="run `fuse` again"):
        read_fusion(store, KEYS)


def similarities(rng: np.random.Generator, rows: int, noise: float) -> np.ndarray:
    found = rng.normal(0, noise, (rows, 10))
    found[np.arange(rows), np.arange(rows) % 10] += 0.5
    return found


def test_a_net_that_tells_palms_apart_better_weighs_more() -> None:
    rng, labels = np.random.default_rng(0), np.arange(200, dtype=np.int32) % 10
    known = [similarities(rng, 200, noise) for noise in (0.15, 0.22)]
    unknown = [rng.normal(0, noise, (300, 10)) for noise in (0.15, 0.22)]
    weights, calibration = weigh(known, labels, unknown, np.arange(300, dtype=np.int32))
    assert weights[0] > 0.5
    assert sum(weights) == pytest.approx(1)
    alone = calibrate(known[0], labels, unknown[0])
    sums = weighted_sum(weights, known), weighted_sum(weights, unknown)
    fused = surprise(calibration, sums[0], labels, sums[1]).mean()
    assert fused < surprise(alone, known[0], labels, unknown[0]).mean()


@pytest.mark.parametrize("seed", range(3))
def test_nets_that_differ_by_chance_weigh_the_same(seed: int) -> None:
    rng, labels = np.random.default_rng(seed), np.arange(300, dtype=np.int32) % 10
    known = [similarities(rng, 300, 0.12) for _ in range(3)]
    unknown = [rng.normal(0, 0.12, (450, 10)) for _ in range(3)]
    weights, _ = weigh(known, labels, unknown, np.arange(450, dtype=np.int32))
    assert weights == pytest.approx([1 / 3] * 3)


def test_images_of_one_palm_do_not_make_a_difference_surer() -> None:
    values, palms = np.random.default_rng(0).normal(size=40), np.arange(40, dtype=np.int32)
    alone = standard_error(values, palms)
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(40))
    assert standard_error(np.repeat(values, 8), np.repeat(palms, 8)) == pytest.approx(alone)


@pytest.mark.parametrize("command", ["fuse", "evaluate"])
def test_help_names_every_option_once(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    named = re.findall(r"^ {8}(\w+):", capsys.readouterr().out, re.MULTILINE)
    assert {"data", "layout", "size_px", "scratch", "strangers", "nets"} <= set(named)
    assert len(named) == len(set(named)), named
