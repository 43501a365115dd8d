"""Training and export of a toy finder: what survives a stop, and what the service loads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.nets.files import NetCorrupt, NetMissing
from app.nets.finder_store import load_finder
from app.nets.running import NetMismatch
from app.palm.errors import PalmNotFound
from app.palm.hand import locate
from app.palm.landmarks import OUTPUTS
from tests.training.conftest import uncompiled
from training.commands.export_finder import ExportFinderConfig, export_finder
from training.commands.train_finder import TrainFinderConfig, load_start, train_finder
from training.finder.figures import Trial
from training.finder.net import build_finder
from training.fit.checkpoint import epochs_done, read_history
from training.versions.finder import FEWEST, MARGIN, MOST, choose_certainty


def configure(out: Path, **changes: Any) -> TrainFinderConfig:
    options: dict[str, Any] = {
        "epochs": 2,
        "images": 20,
        "batch_size": 20,
        "side_px": 32,
        "palms": 1,
        "processes": 0,
        "monitor": 1,
    }
    return TrainFinderConfig(out=out, **{**options, **changes})


class Stop(keras.callbacks.Callback):
    """Raises in the second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise InterruptedError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finder") / "run"
    with uncompiled():
        train_finder(configure(out))
    return out


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("models_store")
    export_finder(ExportFinderConfig(run=run, hands=2, store=store))
    return store


@pytest.fixture
def store(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "models_store"))


def weights(run: Path) -> list[np.ndarray]:
    net = build_finder(32)
    net.load_weights(run / "best.weights.h5")
    return net.get_weights()


def test_every_epoch_reports_figures_of_hands_crops_and_nothing(run: Path) -> None:
    rows = read_history(run)
    assert len(rows) == 2
    names = ("within_3", "within_10", "hand_right", "certain", "wrong", "crop_right")
    assert {f"val_{name}" for name in (*names, "nothing_right")} <= rows[0].keys()
    assert {f"{name}_loss" for name in OUTPUTS} <= rows[0].keys()


@pytest.mark.usefixtures("eager")
def test_a_run_that_was_stopped_ends_as_one_that_was_not(run: Path, tmp_path: Path) -> None:
    cut = configure(tmp_path / "cut")
    with pytest.raises(InterruptedError):
        train_finder(cut, [Stop()])
    assert epochs_done(cut.out) == 1
    verdict = train_finder(cut)
    assert "of 1 drawn hands" in str(verdict)
    for found, expected in zip(weights(cut.out), weights(run), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-4)


def test_a_run_starts_from_the_weights_of_another(run: Path, tmp_path: Path) -> None:
    """The only compiled training here."""
    train_finder(configure(tmp_path / "next", start=run, epochs=1, learning_rate=1e-9))
    for found, expected in zip(weights(tmp_path / "next"), weights(run), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_net_that_starts_from_a_version_has_its_outputs(exported: Path) -> None:
    """Up to the rounding of the stored kernels, whose means are then not exactly 0."""
    net = build_finder(32)
    load_start(net, exported / "finder/1", 32)
    with np.load(exported / "finder/1/golden.npz") as golden:
        outputs = net(golden["images"], training=False)
        for name in OUTPUTS:
            largest = max(np.abs(golden[name]).max(), 1)
            assert np.abs(np.asarray(outputs[name]) - golden[name]).max() < 3e-3 * largest


@pytest.mark.parametrize("kind", ["run", "version"])
def test_a_run_does_not_start_from_one_of_another_side(
    kind: str, run: Path, exported: Path, tmp_path: Path
) -> None:
    start = run if kind == "run" else exported / "finder/1"
    with pytest.raises(ValueError, match="--side-px 32, not 64: give --side-px 32"):
        train_finder(configure(tmp_path / "next", start=start, side_px=64))


def test_a_run_does_not_start_from_a_damaged_version(store: Path, tmp_path: Path) -> None:
    cut_weights(store / "finder/1")
    with pytest.raises(NetCorrupt, match=r"variables\.data.*has SHA-256"):
        train_finder(configure(tmp_path / "next", start=store / "finder/1"))


def test_a_run_does_not_start_from_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--from {tmp_path} is no run of train-finder"):
        train_finder(configure(tmp_path / "next", start=tmp_path))


def test_a_finished_run_is_left_alone(run: Path) -> None:
    before = (run / "best.weights.h5").stat().st_mtime_ns
    assert train_finder(configure(run)).path == run
    assert (run / "best.weights.h5").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 24}, "--batch-size must be a multiple of 20, not 24"),
        ({"images": 8}, "--images must be at least 20, not 8"),
        ({"side_px": 40}, "--side-px must be a multiple of 32, not 40"),
        ({"monitor": 0}, "--monitor must be at least 1, not 0"),
        ({"learning_rate": 0.0}, r"--learning-rate must be above 0, not 0\.0"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = configure(tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=message):
        train_finder(config)
    assert not config.out.exists()


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_the_service_loads_an_exported_finder(engine: str, exported: Path) -> None:
    finder = load_finder(exported, engine)
    assert FEWEST <= finder.least_certainty <= MOST
    with pytest.raises(PalmNotFound):
        locate(np.full((60, 80), 90, np.uint8), finder, "hand")


def test_versions_are_numbered_and_cannot_be_changed(run: Path, exported: Path) -> None:
    with pytest.raises(FileExistsError, match="choose another --version"):
        export_finder(ExportFinderConfig(run=run, hands=2, store=exported, version=1))


def test_what_is_no_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run of train-finder"):
        export_finder(ExportFinderConfig(run=tmp_path, store=tmp_path))


def cut_weights(folder: Path) -> None:
    path = folder / "variables/variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-4])


def change_a_field(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "least_certainty": 0.0}))


def name_another_net(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "net": "vgg16"}))


def remove_golden(folder: Path) -> None:
    (folder / "golden.npz").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, "variables.data.*has SHA-256 .*restore"),
        (change_a_field, "manifest.json has SHA-256 .*restore"),
        (name_another_net, "is not a manifest of this release.*restore"),
        (remove_golden, "golden.npz cannot be read.*restore"),
    ],
)
def test_a_damaged_version_is_refused(
    damage: Callable[[Path], None], message: str, store: Path
) -> None:
    damage(store / "finder/1")
    with pytest.raises(NetCorrupt, match=message) as refusal:
        load_finder(store)
    assert "\n" not in str(refusal.value)


def test_an_engine_that_computes_something_else_is_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.nets.openvino_engine import OpenvinoEngine

    right = OpenvinoEngine.run

    def wrong(engine: OpenvinoEngine, images: Any, names: Any) -> dict[str, np.ndarray]:
        outputs = right(engine, images, names)
        return outputs | {"kind": outputs["kind"][:, ::-1] + 0.1}

    monkeypatch.setattr(OpenvinoEngine, "run", wrong)
    with pytest.raises(NetMismatch, match="does not reproduce kind"):
        load_finder(store)


def test_a_store_without_a_finder_says_so(tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match="holds no version of finder"):
        load_finder(tmp_path)


def test_the_certainty_is_above_that_of_every_wrong_hand() -> None:
    trials = [Trial(0.01, 0.99, True), Trial(0.2, 0.7, True), Trial(0.09, 0.9, True)]
    assert choose_certainty(trials) == pytest.approx(0.7 + MARGIN)
    assert choose_certainty(trials[:1]) == FEWEST
    assert choose_certainty([Trial(0.5, 0.999, False)]) == MOST
