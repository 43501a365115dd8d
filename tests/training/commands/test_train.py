"""Whole trainings on a toy database of 32 px, killed, resumed, interrupted, refused."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.commands.train import train
from training.fit.checkpoint import Checkpoint, Plateau, epochs_done, load_best, read_history
from training.fit.guard import NetIsDead
from training.fit.settings import TrainConfig, resolve_settings
from training.nets.recipe import PRESETS

REPOSITORY = Path(__file__).parents[3]

Configure = Callable[..., TrainConfig]


@pytest.fixture
def configure(database: Path, tmp_path: Path) -> Configure:
    """A training of AlexNet at 32 px that takes seconds."""

    def make(**changes: Any) -> TrainConfig:
        options = {
            "net": "alexnet",
            "data": database,
            "out": tmp_path / "run",
            "size_px": 32,
            "epochs": 3,
            "batch_size": 4,
            "precision": "float32",
        }
        return TrainConfig(**{**options, **changes})

    return make


def weights(run: Path) -> list[np.ndarray]:
    """All numbers of a run's last state, the optimizer's included."""
    import h5py

    found: list[np.ndarray] = []
    with h5py.File(next(run.glob("state-*.weights.h5"))) as file:
        file.visititems(lambda _, item: found.append(item[()]) if hasattr(item, "shape") else None)
    return found


def without_times(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(run)]


class Stop(keras.callbacks.Callback):
    """Raises at the first batch of an epoch."""

    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        super().__init__()
        self._epoch, self._error, self._now = epoch, error, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._now == self._epoch:
            raise self._error


def stop_in(monkeypatch: pytest.MonkeyPatch, epoch: int, error: type[BaseException]) -> None:
    import training.commands.train as module

    original = module.callbacks_of
    monkeypatch.setattr(
        module, "callbacks_of", lambda *args: [Stop(epoch, error), *original(*args)]
    )


def test_a_run_writes_everything_that_tells_what_it_was(configure: Configure) -> None:
    config = configure(tensorboard=True)
    report = train(config)
    assert report.read_text().startswith("<!doctype html>")
    result = json.loads((config.out / "result.json").read_text())
    settings = json.loads((config.out / "config.json").read_text())
    assert result["test"]["images"] == 12
    assert result["epochs"] == 3
    assert settings["augment"] == "palm"
    assert settings["size_px"] == 32
    assert [row["epoch"] for row in read_history(config.out)] == [1, 2, 3]
    assert (config.out / "history.png").stat().st_size > 1000
    assert list((config.out / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = configure(out=tmp_path / "whole")
    train(whole)
    cut = configure(out=tmp_path / "cut")
    with monkeypatch.context() as patch:
        stop_in(patch, 2, RuntimeError)
        with pytest.raises(RuntimeError):
            train(cut)
    assert epochs_done(cut.out) == 2
    train(cut)
    assert without_times(cut.out) == without_times(whole.out)
    for one, other in zip(weights(whole.out), weights(cut.out), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_killed_with_signal_9_is_resumed_by_the_same_command(
    configure: Configure, tmp_path: Path, database: Path
) -> None:
    command = [sys.executable, "-m", "training", "train", "--net", "alexnet", "--size-px", "32"]
    command += ["--epochs", "4", "--batch-size", "4", "--precision", "float32"]
    command += ["--data", str(database), "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and epochs_done(tmp_path / "run") < 1:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = epochs_done(tmp_path / "run")
    assert 1 <= done < 4
    assert not (tmp_path / "run" / "result.json").exists()
    train(configure(epochs=4))
    train(configure(epochs=4, out=tmp_path / "whole"))
    assert without_times(tmp_path / "run") == without_times(tmp_path / "whole")


def test_an_interrupted_first_epoch_leaves_weights_that_load(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in(monkeypatch, 0, KeyboardInterrupt)
    config = configure()
    with pytest.raises(KeyboardInterrupt):
        train(config)
    from training.nets.build import build_net, scoring_model

    scoring_model(build_net("alexnet", 4, config, input_px=32)).load_weights(
        config.out / "best.weights.h5"
    )


def test_a_trainings_precision_ends_with_it(configure: Configure) -> None:
    train(configure(epochs=1, precision="mixed_bfloat16"))
    assert keras.config.dtype_policy().name == "float32"


def test_a_finished_run_is_left_alone(configure: Configure) -> None:
    train(configure())
    before = weights(configure().out)
    train(configure())
    for one, other in zip(before, weights(configure().out), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_settings_do_not_go_on_with_a_run(configure: Configure) -> None:
    config = configure(epochs=1)
    train(config)
    digest = json.loads((config.out / "config.json").read_text())["dataset_sha256"]
    with pytest.raises(ValueError, match=r"other settings \(epochs 1, not 2; seed 1, not 7\)"):
        resolve_settings(configure(epochs=2, seed=7), digest)
    with pytest.raises(ValueError, match=r"other settings \(dataset_sha256"):
        resolve_settings(config, "another")
    found = resolve_settings(configure(epochs=1, precision="auto", guard="warn"), digest)
    assert found["precision"] == "float32"


def test_the_question_as_posted_is_refused_before_its_first_epoch(configure: Configure) -> None:
    posted = asdict(PRESETS["as-posted"])
    config = configure(net="vgg16", **posted)
    with pytest.raises(NetIsDead) as caught:
        train(config)
    assert re.search(r"block1_conv1 sees \d+ to \d{3}, but", str(caught.value))
    assert "--input rescaled promises 0 to 1" in str(caught.value)
    assert "the preprocessing is built and not connected" in str(caught.value)
    assert epochs_done(config.out) == 0


def test_a_run_that_was_refused_may_be_mended_in_the_same_folder(configure: Configure) -> None:
    posted = asdict(PRESETS["as-posted"]) | {"head": "embedding", "epochs": 1}
    with pytest.raises(NetIsDead):
        train(configure(**posted))
    train(configure(**posted | {"wiring": "connected"}))
    assert json.loads((configure().out / "result.json").read_text())["guard"] == []


def test_what_the_guard_found_outlives_an_interruption(configure: Configure) -> None:
    posted = asdict(PRESETS["as-posted"]) | {"head": "embedding", "epochs": 1, "guard": "warn"}
    train(configure(**posted))
    train(configure(**posted))  # nothing left to do but the report
    found = json.loads((configure().out / "result.json").read_text())["guard"]
    assert len(found) == 2
    assert "--input rescaled promises 0 to 1" in found[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "resnet"}, "unknown net 'resnet'"),
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"split": "identity", "head": "paper"}, "needs an embedding"),
        ({"split": "identity", "schedule": "plateau"}, "needs a validation loss"),
    ],
)
def test_senseless_settings_are_refused_before_anything_is_read(
    configure: Configure, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(configure(data=tmp_path / "nowhere", **changes))


def test_an_open_set_split_is_judged_on_strangers(configure: Configure, tmp_path: Path) -> None:
    from training.commands.synthesize import SynthesizeConfig, synthesize

    synthesize(SynthesizeConfig(out=tmp_path / "palms", identities=10, sessions=2, shots=2))
    config = configure(data=tmp_path / "palms", split="identity", epochs=2)
    train(config)
    result = json.loads((config.out / "result.json").read_text())
    assert set(result["test"]) == {"rank_1", "eer"}
    assert "val_rank_1" in read_history(config.out)[0]


def test_without_a_figure_to_choose_by_the_last_epoch_is_kept(tmp_path: Path) -> None:
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, name="dense")(image))
    model.compile(optimizer="sgd", loss="mse")
    checkpoint = Checkpoint(tmp_path, None)
    checkpoint.set_model(model)
    for epoch, value in enumerate((3.0, 1.0)):
        checkpoint.on_epoch_begin(epoch)
        model.get_layer("dense").set_weights([np.array([[value]])])
        checkpoint.on_epoch_end(epoch, {"val_accuracy": value})
    load_best(model, tmp_path)
    assert model.get_layer("dense").get_weights()[0] == 1.0


def recorded(tmp_path: Path, count: int) -> keras.Model:
    """A model after some epochs, each with its files."""
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, name="dense")(image))
    model.compile(optimizer="sgd", loss="mse")
    checkpoint = Checkpoint(tmp_path, "val_accuracy")
    checkpoint.set_model(model)
    for epoch in range(count):
        checkpoint.on_epoch_begin(epoch)
        checkpoint.on_epoch_end(epoch, {"val_accuracy": 0.5, "val_loss": 1.0})
    return model


def test_an_epoch_whose_state_was_not_written_does_not_count(tmp_path: Path) -> None:
    """A kill between history.csv and the state: the epoch is done once more."""
    recorded(tmp_path, 1)
    next(tmp_path.glob("state-*")).unlink()
    assert read_history(tmp_path) != []
    assert Checkpoint(tmp_path, "val_accuracy").history == []


def test_a_plateau_goes_on_counting_where_it_stopped() -> None:
    """Keras's own callback over all epochs is the reference; cut after each of them."""
    losses = [3.0, 2.0, *[2.0] * 9]

    def rates(model: keras.Model, plateau: Plateau, epochs: range) -> list[dict[str, float]]:
        rows = []
        plateau.set_model(model)
        plateau.on_train_begin()
        for epoch in epochs:
            plateau.on_epoch_end(epoch, {"val_loss": losses[epoch]})
            rate = float(model.optimizer.learning_rate)
            rows.append({"epoch": epoch + 1, "val_loss": losses[epoch], "learning_rate": rate})
        return rows

    def fresh(rate: float) -> keras.Model:
        image = keras.Input((1,))
        model = keras.Model(image, keras.layers.Dense(1)(image))
        model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        return model

    whole = rates(fresh(1e-4), Plateau([]), range(len(losses)))
    assert len({row["learning_rate"] for row in whole}) > 2
    for cut in range(1, len(losses)):
        model = fresh(whole[cut - 1]["learning_rate"])
        rest = rates(model, Plateau(whole[:cut]), range(cut, len(losses)))
        assert rest == whole[cut:], cut


def test_the_best_epochs_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, name="dense")(image))
    model.compile(optimizer="sgd", loss="mse")
    checkpoint = Checkpoint(tmp_path, "val_accuracy")
    checkpoint.set_model(model)
    for epoch, accuracy in enumerate([0.5, 0.9, 0.7]):
        model.set_weights([np.array([[epoch + 1.0]])])
        checkpoint.on_epoch_begin(epoch)
        checkpoint.on_epoch_end(epoch, {"val_accuracy": accuracy})
    load_best(model, tmp_path)
    assert model.get_weights()[0] == 2
    assert [path.name for path in tmp_path.glob("state-*")] == ["state-0003.weights.h5"]
