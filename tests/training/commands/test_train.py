"""Whole trainings on a toy database of 32 px: killed and resumed, refused, mended."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tests.training.run_folder import read_state, rows_without_times
from training.commands.synthesize import SynthesizeConfig, synthesize
from training.commands.train import TrainConfig, train
from training.fit.checkpoint import epochs_done, read_history
from training.fit.guard import NetIsDead
from training.fit.options import NetName
from training.nets.recipe import NETS, PRESETS

REPOSITORY = Path(__file__).parents[3]

Configure = Callable[..., TrainConfig]


def configure_in(out: Path, database: Path, **changes: Any) -> TrainConfig:
    """A training of AlexNet at 32 px that takes seconds."""
    options: dict[str, Any] = {
        "net": "alexnet",
        "data": database,
        "out": out,
        "size_px": 32,
        "epochs": 3,
        "batch_size": 4,
        "precision": "float32",
    }
    return TrainConfig(**{**options, **changes})


@pytest.fixture
def configure(database: Path, tmp_path: Path) -> Configure:
    """`configure_in` an empty folder."""
    return lambda **changes: configure_in(tmp_path / "run", database, **changes)


@pytest.fixture(scope="module")
def whole(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not stopped."""
    out = tmp_path_factory.mktemp("train") / "whole"
    verdict = str(train(configure_in(out, database, tensorboard=True)))
    assert re.match(rf"{out}/report\.html: test accuracy [\d.]+% \(\d+ of 12, 95 % ", verdict)
    return out


def test_a_run_writes_everything_that_tells_what_it_was(whole: Path) -> None:
    assert (whole / "report.html").read_text().startswith("<!doctype html>")
    result = json.loads((whole / "result.json").read_text())
    settings = json.loads((whole / "config.json").read_text())
    assert result["test"]["images"] == 12
    assert result["epochs"] == 3
    assert settings["augment"] == "palm"
    assert settings["size_px"] == 32
    assert [row["epoch"] for row in read_history(whole)] == [1, 2, 3]
    assert (whole / "history.png").stat().st_size > 1000
    assert list((whole / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_run_killed_with_signal_9_ends_as_an_uninterrupted_one(
    configure: Configure, whole: Path, database: Path
) -> None:
    out = configure().out
    command = [sys.executable, "-m", "training", "train", "--net", "alexnet", "--size-px", "32"]
    command += ["--epochs", "3", "--batch-size", "4", "--precision", "float32"]
    command += ["--data", str(database), "--out", str(out)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and epochs_done(out) < 1:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 1 <= epochs_done(out) < 3
    assert not (out / "result.json").exists()
    train(configure())
    assert rows_without_times(out) == rows_without_times(whole)
    for one, other in zip(read_state(out), read_state(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_question_as_posted_is_refused_before_its_first_epoch(configure: Configure) -> None:
    posted = asdict(PRESETS["as-posted"])
    config = configure(net="vgg16", **posted)
    with pytest.raises(NetIsDead) as caught:
        train(config)
    assert re.search(r"block1_conv1 sees \d+ to \d{3}, but", str(caught.value))
    assert "--input rescaled promises 0 to 1" in str(caught.value)
    assert "the preprocessing is built and not connected" in str(caught.value)
    assert epochs_done(config.out) == 0


@pytest.mark.usefixtures("eager")
def test_a_run_that_was_refused_may_be_mended_in_the_same_folder(configure: Configure) -> None:
    posted = asdict(PRESETS["as-posted"]) | {"head": "embedding", "epochs": 1}
    with pytest.raises(NetIsDead):
        train(configure(**posted))
    train(configure(**posted | {"wiring": "connected"}))
    assert json.loads((configure().out / "result.json").read_text())["guard"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"split": "identity", "head": "paper"}, "needs --head embedding"),
        ({"split": "identity", "schedule": "plateau"}, "needs a validation loss"),
        ({"weights": "imagenet"}, "Keras has no ImageNet weights for alexnet"),
    ],
)
def test_senseless_settings_are_refused_before_anything_is_read(
    configure: Configure, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(configure(data=tmp_path / "nowhere", **changes))


@pytest.mark.usefixtures("eager")
def test_a_split_by_identity_is_tested_on_strangers(configure: Configure, tmp_path: Path) -> None:
    synthesize(SynthesizeConfig(out=tmp_path / "palms", identities=10, sessions=2, shots=2))
    config = configure(data=tmp_path / "palms", split="identity", epochs=1)
    assert "equal error rate" in str(train(config))
    result = json.loads((config.out / "result.json").read_text())
    assert set(result["test"]) == {"rank_1", "eer"}
    assert "val_rank_1" in read_history(config.out)[0]


@pytest.mark.parametrize("command", ["train", "pretrain", "finetune"])
def test_a_commands_options_are_known_without_keras(command: str) -> None:
    """So that --help does not wait for TensorFlow."""
    program = f"import sys, training.commands.{command}; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY).returncode == 0


def test_the_nets_that_an_option_takes_are_all_there_are() -> None:
    assert get_args(NetName) == NETS
