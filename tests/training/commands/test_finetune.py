"""From synthetic palms to a user's own, on toy nets: export, finetune, export again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.conftest import export_of
from training.__main__ import main
from training.commands.finetune import FinetuneConfig, finetune
from training.commands.synthesize import SynthesizeConfig, synthesize
from training.fit.checkpoint import read_history
from training.nets.build import embedding_model
from training.versions.read import Version

Configure = Callable[..., FinetuneConfig]


@pytest.fixture(scope="module")
def configure(exported: Path, database: Path) -> Configure:
    """A fine-tuning of AlexNet at 32 px that takes seconds."""

    def make(out: Path, **changes: Any) -> FinetuneConfig:
        options: dict[str, Any] = {
            "start": exported / "alexnet/1",
            "data": database,
            "rehearsed": 4,
            "batch_size": 8,
            "epochs": 1,
            "monitor": 4,
            "precision": "float32",
        }
        return FinetuneConfig(out=out, **{**options, **changes})

    return make


class Ruin(keras.callbacks.Callback):
    """Gives all images the same embedding and map: any share of this bias blinds the net."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model: Any = self.model
        first = model.get_layer("conv1")
        kernel, bias = first.get_weights()
        first.set_weights([kernel, np.full_like(bias, -1e9)])


@pytest.fixture(scope="module")
def tuned(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of fine-tuning, all of whose change is kept."""
    out = tmp_path_factory.mktemp("finetune") / "run"
    finetune(configure(out, epochs=2, may_rise=1.0))
    return out


def test_a_version_comes_back_as_it_was_exported(exported: Path) -> None:
    version = Version.open(exported / "alexnet/1")
    golden = np.load(exported / "alexnet/1/golden.npz")
    found = version.model()(golden["images"], training=False)
    np.testing.assert_allclose(found["embedding"], golden["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["similarity"], golden["similarity"], atol=1e-4)


def test_the_smaller_twin_answers_as_the_net_on_shrunk_images(exported: Path) -> None:
    version = Version.open(exported / "alexnet/1")
    small = np.load(exported / "alexnet/1/golden.npz")["images"][:, ::7, ::7]
    images = small.repeat(7, axis=1).repeat(7, axis=2)  # shrinking gives back the same 8 bits
    twin = embedding_model(version.model(32, identities=1))
    expected = embedding_model(version.model())(images, training=False)
    np.testing.assert_allclose(twin(small, training=False), expected, atol=1e-3)


def test_a_finetuning_is_evaluated_and_can_be_exported(
    tuned: Path, exported: Path, database: Path, strangers: Path
) -> None:
    result = json.loads((tuned / "result.json").read_text())
    assert result["test"]["images"] == 4 * 3
    assert result["before"]["images"] == 4 * 3
    assert result["strangers"]["share_kept"] == 1
    assert main(export_of(tuned, database, strangers, exported)) == 0
    manifest = json.loads((exported / "alexnet/2/manifest.json").read_text())
    assert manifest["training"]["from"] == "alexnet/1"
    assert manifest["identities"] == ["p001", "p002", "p003", "p004"]
    assert "start" not in manifest["training"]


def test_a_finished_finetuning_is_not_trained_again(tuned: Path, configure: Configure) -> None:
    before = (tuned / "history.csv").read_bytes()
    finetune(configure(tuned, epochs=2, may_rise=1.0))
    assert (tuned / "history.csv").read_bytes() == before
    with pytest.raises(ValueError, match=r"holds a run with other settings \(seed 1, not 7\)"):
        finetune(configure(tuned, epochs=2, may_rise=1.0, seed=7))


@pytest.mark.usefixtures("eager")
def test_a_finetuning_that_ruins_the_net_says_that_nothing_was_kept(
    configure: Configure, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = str(finetune(configure(tmp_path, rehearsed=0, guard="off"), [Ruin()]))
    printed = capsys.readouterr().err
    result = json.loads((tmp_path / "result.json").read_text())
    report = (tmp_path / "report.html").read_text()
    assert result["strangers"]["share_kept"] == 0
    assert result["test"] == result["before"]
    for text in (verdict, printed, report, result["strangers"]["summary"]):
        assert "None of the change is kept: even 25% of it raises" in text
    assert "before fine-tuning: test accuracy" in printed
    assert "after fine-tuning: test accuracy" in printed
    assert verdict.startswith(f"{tmp_path}/report.html: Before fine-tuning: test accuracy")


@pytest.mark.usefixtures("eager")
def test_a_split_by_identity_is_tested_on_strangers(configure: Configure, tmp_path: Path) -> None:
    synthesize(SynthesizeConfig(out=tmp_path / "palms", identities=6, sessions=2, shots=2))
    config = configure(tmp_path / "run", data=tmp_path / "palms", split="identity")
    assert "Before fine-tuning: rank-1" in str(finetune(config))
    assert {"val_rank_1", "val_eer", "val_map_eer"} <= read_history(config.out)[0].keys()
    result = json.loads((config.out / "result.json").read_text())
    assert result["test"].keys() == {"rank_1", "eer"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, "--batch-size must be at least 4, not 2"),
        ({"epochs": 0}, "--epochs must be at least 1, not 0"),
        ({"rehearsed": -1}, "--rehearsed must be at least 0, not -1"),
        ({"may_rise": -0.1}, r"--may-rise must be from 0 to 1, not -0\.1"),
        ({"may_rise": 1.5}, r"--may-rise must be from 0 to 1, not 1\.5"),
        ({"learning_rate": 0.0}, r"--learning-rate must be above 0, not 0\.0"),
        ({"start": Path("nowhere")}, r"nowhere is missing: give a version"),
    ],
)
def test_what_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str, configure: Configure, tmp_path: Path
) -> None:
    config = configure(tmp_path / "out", **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        finetune(config)
    assert not config.out.exists()
