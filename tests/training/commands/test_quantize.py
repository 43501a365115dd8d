"""Quantised nets are written with what was measured of them, and the service serves them."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.nets.precision import PrecisionChoice
from app.nets.precision_manifest import read_precisions
from app.nets.store import load_ensemble
from training.__main__ import main

needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="the extra `training` is not installed"
)


@pytest.fixture
def command(toy_store: Path, database: Path, other_strangers: Path, tmp_path: Path) -> list[str]:
    store = shutil.copytree(toy_store, tmp_path / "store")
    strangers = str(other_strangers)
    places = ["--data", str(database), "--strangers", strangers, "--enrolled", strangers]
    return ["quantize", *places, "--store", str(store), "--size-px", "32", "--split", "seed",
            "--nets", "alexnet", "vgg16", "--images", "8"]  # fmt: skip


@needs_nncf
def test_int8_is_written_measured_and_served(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"

    assert main(command) == 0

    manifest = read_precisions(store / "precisions/1")
    assert [*manifest.sources] == ["alexnet/1", "vgg16/1"]
    assert manifest.calibration["images"] == 8
    assert {(one.nets, one.precision) for one in manifest.gate} == {
        (nets, precision)
        for nets in (("alexnet/1",), ("vgg16/1",), ("alexnet/1", "vgg16/1"))
        for precision in ("f32", "bf16", "int8")
    }
    assert "| alexnet/1 + vgg16/1 | int8 |" in capsys.readouterr().out
    weights = (store / "precisions/1/model.bin").stat().st_size
    kernels = (store / "alexnet/1/variables/variables.data-00000-of-00001").stat().st_size
    assert weights < kernels  # which are halves, of one net and with its embedding
    ensemble = load_ensemble(store, ["vgg16", "alexnet"], "openvino", PrecisionChoice("int8"))
    with np.load(store / "alexnet/1/golden.npz") as golden:
        images, maps = golden["images"], golden["map"]
    for found in ensemble.maps(images):  # vgg16 is a copy of alexnet
        correlation = np.corrcoef(found.deviations.ravel(), maps.ravel())[0, 1]
        assert 0.98 < correlation < 0.999999


def test_without_nncf_the_command_says_what_to_install(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "training.commands.quantize.find_spec", lambda name: None if name == "nncf" else found(name)
    )
    assert main(command) == 2
    assert "NNCF is not installed: install the project's extra `training`" in capfd.readouterr().err
