"""Pre-training on toy nets: pairs, then prototypes, a whitening, and what survives a stop."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.conftest import export_of, uncompiled
from training.__main__ import main
from training.commands.pretrain import STAGE_STEP, UNSEEN_SEED, PretrainConfig, pretrain
from training.fit.checkpoint import epochs_done, read_history
from training.nets.build import build_net, embedding_model, select_outputs
from training.nets.recipe import Recipe
from training.synthetic.palms import draw_palms
from training.synthetic.stream import PalmStream
from training.versions.read import Version

Configure = Callable[..., PretrainConfig]

NO_CHANGE = 1e-30
"""A learning rate whose steps are lost in a float32 weight."""


def configure_in(out: Path, **changes: Any) -> PretrainConfig:
    """The smallest pre-training, like that of the fixture `pretrained`: 32 px, 8 palms."""
    options: dict[str, Any] = {
        "nets": ("alexnet",),
        "identities": 8,
        "batch_size": 8,
        "contrast_px": 32,
        "monitor": 4,
        "epochs": 1,
        "guard": "off",
        "precision": "float32",
    }
    return PretrainConfig(out=out, **{**options, **changes})


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure_in` an empty folder."""
    return lambda **changes: configure_in(tmp_path / "run", **changes)


def build(run: Path, weights: str = "best", input_px: int = 32) -> keras.Model:
    net = build_net("alexnet", 1, Recipe(contrast_px=32, augment="none"), input_px=input_px)
    select_outputs(net, "embedding", "map").load_weights(run / f"{weights}.weights.h5")
    return net


class Stop(keras.callbacks.Callback):
    """Raises in the second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise InterruptedError


def test_a_run_has_figures_of_every_epoch_and_of_the_whitened_net(pretrained: Path) -> None:
    rows = read_history(pretrained.parent)
    assert len(rows) == 2
    figures = {"loss", "embedding_loss", "map_loss"}
    measured = {"eer", "rank_1", "map_eer", "map_rank_1"}
    figures |= {f"alexnet_{part}_{name}" for part in ("val", "held_out") for name in measured}
    assert figures <= rows[0].keys()
    result = json.loads((pretrained / "result.json").read_text())
    assert result["images"] == 2 * 2 * 8
    assert result["last"]["epoch"] == 2
    assert result["last"]["val_eer"] == rows[1]["alexnet_val_eer"]
    assert result["whitened"]["val"].keys() == measured


def test_vein_maps_are_trained(configure: Configure) -> None:
    pretrain(configure(epochs=2, pairs=15, contrast_px=64, degrade=False))
    first, second = (row["map_loss"] for row in read_history(configure().out))
    assert second < first - 0.1


@pytest.mark.usefixtures("eager")
def test_each_of_several_nets_has_a_folder_and_figures_of_its_own(configure: Configure) -> None:
    config = configure(nets=("alexnet", "vgg16"))
    verdict = str(pretrain(config))
    (row,) = read_history(config.out)
    for net in ("alexnet", "vgg16"):
        result = json.loads((config.out / net / "result.json").read_text())
        assert result["net"] == net
        assert result["last"]["val_eer"] == row[f"{net}_val_eer"]
        assert not any(name.startswith(("alexnet", "vgg16")) for name in result["last"])
        assert f"{net} {result['whitened']['val']['eer']:.2%}" in verdict
        losses = [result["last"][f"{output}_loss"] for output in ("embedding", "map")]
        assert result["last"]["loss"] == pytest.approx(sum(losses), rel=1e-4)
        whole = build_net(net, 1, Recipe(contrast_px=32), input_px=32)
        final = config.out / net / "final.weights.h5"
        select_outputs(whole, "embedding", "map").load_weights(final)
    assert verdict.startswith(f"{config.out}: equal error rates on synthetic strangers: alexnet ")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("start", ["a run", "a version"])
def test_a_run_that_was_stopped_twice_ends_as_one_that_was_not(
    start: str, pretrained: Path, exported: Path, configure: Configure, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "epochs": 2,
        "against": "prototypes",
        "start": pretrained.parent if start == "a run" else exported / "alexnet/1",
    }
    pretrain(whole := configure_in(tmp_path / "whole", **changes))
    cut = configure(**changes)
    with pytest.raises(InterruptedError):
        pretrain(cut, [Stop()])
    assert epochs_done(cut.out) == 1
    pretrain(cut)
    if start == "a run":
        for name in ("final.weights.h5", "result.json"):  # as if stopped before the whitening
            (cut.out / "alexnet" / name).unlink()
        pretrain(cut)
    losses = [[row["loss"] for row in read_history(run.out)] for run in (whole, cut)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    nets = [embedding_model(build(run.out / "alexnet", "final")) for run in (whole, cut)]
    for expected, found in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


def test_a_finished_run_is_left_alone(pretrained: Path) -> None:
    result = pretrained / "result.json"
    before = result.stat().st_mtime_ns
    verdict = pretrain(configure_in(pretrained.parent, epochs=2, guard="stop"))
    assert verdict.path == pretrained.parent
    assert result.stat().st_mtime_ns == before


def test_what_is_exported_is_the_whitened_net(pretrained: Path, exported: Path) -> None:
    golden = np.load(exported / "alexnet/1/golden.npz")
    for name, same in (("final", True), ("best", False)):
        net = embedding_model(build(pretrained, name, input_px=224))
        cosines = (np.asarray(net(golden["images"])) * golden["embedding"]).sum(axis=1)
        assert (cosines > 0.999).all() == same


def test_a_run_that_has_not_ended_is_not_exported(
    pretrained: Path,
    database: Path,
    strangers: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.json").write_bytes((pretrained / "config.json").read_bytes())
    assert main(export_of(tmp_path, database, strangers, tmp_path / "store")) == 2
    assert "final.weights.h5 is missing, so the training has not ended" in capsys.readouterr().err


@pytest.fixture(scope="module")
def second(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A second stage, against prototypes, whose weights all stay the first's."""
    config = configure_in(
        tmp_path_factory.mktemp("pretrain") / "second",
        start=pretrained.parent,
        against="prototypes",
        pairs=2,
        learning_rate=NO_CHANGE,
    )
    with uncompiled():
        pretrain(config)
    return config


def test_a_pretraining_starts_from_a_runs_weights(pretrained: Path, second: PretrainConfig) -> None:
    before, after = (build(run) for run in (pretrained, second.out / "alexnet"))
    kernels = [net.get_layer("conv3").get_weights()[0] for net in (before, after)]
    np.testing.assert_array_equal(*kernels)


@pytest.mark.usefixtures("eager")
def test_every_stage_has_images_of_its_own(second: PretrainConfig, tmp_path: Path) -> None:
    """The weights are the same in both stages, so only other images change the loss."""
    third = replace(second, start=second.out, out=tmp_path)
    pretrain(third)
    losses = [read_history(config.out)[0]["loss"] for config in (second, third)]
    assert losses[0] != losses[1]


def test_prototypes_start_as_mean_embeddings_of_a_pair_of_each_palm(
    pretrained: Path, second: PretrainConfig, tmp_path: Path
) -> None:
    trained = build_net("alexnet", 8, Recipe(contrast_px=32), input_px=32)
    trained = select_outputs(trained, "similarity", "map")
    trained.load_weights(second.out / "state-0001.weights.h5")
    stream = PalmStream(
        draw_palms(8, 1, tmp_path),
        pairs=1,
        batch_size=8,
        side_px=32,
        seed=UNSEEN_SEED + STAGE_STEP,
        degraded=True,
    )
    batches = [stream[index] for index in range(len(stream))]
    embedder = embedding_model(build(pretrained))
    embeddings = np.concatenate([embedder(x, training=False) for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    means = np.stack([embeddings[labels == i].mean(axis=0) for i in range(8)])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    (found,) = trained.get_layer("similarity").get_weights()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.usefixtures("eager")
def test_a_pretraining_may_go_on_from_a_version(exported: Path, configure: Configure) -> None:
    version = exported / "alexnet/1"
    config = configure(start=version, learning_rate=NO_CHANGE)
    pretrain(config)
    images = np.load(version / "golden.npz")["images"]
    start = Version.open(version).model()(images, training=False)["embedding"]
    found = embedding_model(build(config.out / "alexnet", input_px=224))(images, training=False)
    np.testing.assert_allclose(found, start, atol=2e-3)  # stored kernels sum to 0 but for float16
    # Its images are neither the first stage's nor those that its own successor will have.
    assert json.loads((config.out / "alexnet/config.json").read_text())["stage"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": Path("nowhere")}, "--from nowhere holds no alexnet/best.weights.h5"),
        ({"identities": 1}, "--identities must be at least 2, not 1"),
        ({"pairs": 0}, "--pairs must be at least 1, not 0"),
        ({"batch_size": 5}, "--batch-size must be an even number of at least 4, not 5"),
        ({"map_shift": -1}, "--map-shift must be at least 0, not -1"),
        ({"processes": -1}, "--processes must be at least 0, not -1"),
        ({"monitor": 1}, "--monitor must be at least 2, not 1"),
        ({"margin": 1.5}, r"--margin must be from 0 to 1, not 1\.5"),
    ],
)
def test_a_pretraining_that_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str, configure: Configure
) -> None:
    config = configure(**changes)
    with pytest.raises(ValueError, match=message):
        pretrain(config)
    assert not config.out.exists()
