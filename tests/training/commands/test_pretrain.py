"""Pre-training on toy nets: pairs, then prototypes, a whitening, and what survives a stop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.conftest import PRETRAIN, export_of
from training.__main__ import main
from training.commands.pretrain import STAGE_STEP, UNSEEN_SEED
from training.fit.checkpoint import read_history
from training.metrics.open_set import OpenSetScore
from training.nets.build import build_net, embedding_model, scoring_model
from training.nets.recipe import Recipe
from training.nets.whitening import whiten
from training.synthetic.palms import draw_palms
from training.synthetic.stream import PalmStream
from training.versions.shipped import load_shipped


def test_a_run_says_what_it_came_to(pretrained: Path) -> None:
    rows = read_history(pretrained.parent)
    assert len(rows) == 2
    figures = {"loss", "alexnet_val_eer", "alexnet_val_rank_1", "alexnet_held_out_eer"}
    assert figures <= rows[0].keys()
    result = json.loads((pretrained / "result.json").read_text())
    assert result["images"] == 2 * 2 * 8
    assert result["last"]["epoch"] == 2
    assert result["last"]["val_eer"] == rows[1]["alexnet_val_eer"]
    assert {"eer", "rank_1"} == result["whitened"]["val"].keys()


def test_each_of_several_nets_has_a_folder_and_figures_of_its_own(tmp_path: Path) -> None:
    options = ["--nets", "alexnet,vgg16", "--epochs", "1", "--guard", "off"]
    assert main([*PRETRAIN, *options, "--out", str(tmp_path)]) == 0
    (row,) = read_history(tmp_path)
    for net in ("alexnet", "vgg16"):
        result = json.loads((tmp_path / net / "result.json").read_text())
        assert result["net"] == net
        assert result["last"]["val_eer"] == row[f"{net}_val_eer"]
        assert not any(name.startswith(("alexnet", "vgg16")) for name in result["last"])
        embedder = embedding_model(build_net(net, 1, Recipe(contrast_px=32), input_px=32))
        embedder.load_weights(tmp_path / net / "final.weights.h5")


@pytest.fixture(scope="module")
def second_stage(pretrained: Path) -> list[str]:
    """Options of a pre-training against prototypes."""
    return ["--against", "prototypes", "--from", str(pretrained.parent)]


@pytest.mark.parametrize("begun", ["at random", "from a run", "from a version"])
def test_a_run_that_was_stopped_twice_ends_as_one_that_was_not(
    begun: str,
    pretrained: Path,
    second_stage: list[str],
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {
        "at random": [],
        "from a run": second_stage,
        "from a version": ["--against", "prototypes", "--from", str(exported / "alexnet/1")],
    }[begun]
    options = [*PRETRAIN, "--epochs", "2", *more]
    whole, out = pretrained.parent, tmp_path / "stopped"
    if more:
        whole = tmp_path / "whole"
        assert main([*options, "--out", str(whole)]) == 0
    for place, calls in (("pretrain.OpenSetScore.on_epoch_end", 2), ("pretrained.whiten", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(f"training.{place}", stop_after(calls, place))
            assert main([*options, "--out", str(out)]) == 2
        assert not (out / "alexnet/final.weights.h5").exists()
    assert len(read_history(out)) == 2
    assert main([*options, "--out", str(out)]) == 0
    losses = [[row["loss"] for row in read_history(folder)] for folder in (whole, out)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    runs = (whole / "alexnet", out / "alexnet")
    ends = [embedding_model(build(run, "final")).get_weights() for run in runs]
    for expected, found in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


def stop_after(calls: int, place: str) -> Callable[..., Any]:
    """What stands there, interrupted at the call after so many."""
    real = OpenSetScore.on_epoch_end if "OpenSetScore" in place else whiten
    left = [calls]

    def stop(*arguments: Any) -> Any:
        if left[0] == 0:
            raise InterruptedError
        left[0] -= 1
        return real(*arguments)

    return stop


def test_what_is_exported_is_the_whitened_net(
    pretrained: Path, database: Path, tmp_path: Path
) -> None:
    assert main(export_of(pretrained, database, tmp_path)) == 0
    golden = np.load(tmp_path / "alexnet/1/golden.npz")
    for name, same in (("final", True), ("best", False)):
        net = embedding_model(build(pretrained, name, input_px=224))
        cosines = (np.asarray(net(golden["images"])) * golden["embedding"]).sum(axis=1)
        assert (cosines > 0.999).all() == same


def test_a_run_that_has_not_ended_is_not_exported(
    pretrained: Path, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_bytes((pretrained / "config.json").read_bytes())
    assert main(export_of(tmp_path, database, tmp_path / "store")) == 2
    assert "holds no final.weights.h5, so its training has not ended" in capsys.readouterr().err


def test_every_stage_has_images_of_its_own(
    pretrained: Path, second_stage: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[set[bytes]] = []

    class Recorded(PalmStream):
        def __getitem__(self, index: int) -> Any:
            images, labels = super().__getitem__(index)
            shown[-1].update(image.tobytes() for image in images)
            return images, labels

    monkeypatch.setattr("training.commands.pretrain.PalmStream", Recorded)
    for out, more in (("one", []), ("two", second_stage)):
        shown.append(set())
        assert main([*PRETRAIN, *more, "--epochs", "1", "--out", str(tmp_path / out)]) == 0
    # An epoch and the whitening; the second stage's prototypes, too; and what is fetched ahead.
    assert len(shown[0]) >= 32
    assert len(shown[1]) >= 48
    assert not shown[0] & shown[1]


def test_a_pretraining_may_start_from_another(pretrained: Path, tmp_path: Path) -> None:
    arguments = [*PRETRAIN, "--epochs", "1", "--learning-rate", "0"]
    assert main([*arguments, "--from", str(pretrained.parent), "--out", str(tmp_path)]) == 0
    start, found = (embedding_model(build(run)) for run in (pretrained, tmp_path / "alexnet"))
    kernels = [net.get_layer("conv3").get_weights()[0] for net in (start, found)]
    np.testing.assert_array_equal(*kernels)


def test_a_pretraining_may_go_on_from_a_version(exported: Path, tmp_path: Path) -> None:
    version = exported / "alexnet/1"
    arguments = [*PRETRAIN, "--epochs", "1", "--learning-rate", "0", "--from", str(version)]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    images = np.load(version / "golden.npz")["images"]
    start = load_shipped(version).model(images, training=False)["embedding"]
    found = embedding_model(build(tmp_path / "alexnet", input_px=224))(images, training=False)
    np.testing.assert_allclose(found, start, atol=2e-3)  # stored kernels sum to 0 but for float16
    # Its images are neither the first stage's nor those that this one's own successor will have.
    assert json.loads((tmp_path / "alexnet/config.json").read_text())["stage"] == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--nets", "vgg16"], "is a version of one net: give --nets alexnet"),
        (["--nets", "alexnet,vgg16"], "is a version of one net: give --nets alexnet"),
        (["--contrast-px", "64"], "is built with --contrast-px 32, not 64"),
        (["--embedding-size", "8"], "is built with --embedding-size 256, not 8"),
    ],
)
def test_a_version_of_another_net_is_refused(
    option: list[str],
    message: str,
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = ["--from", str(exported / "alexnet/1"), "--out", str(tmp_path / "out")]
    assert main([*PRETRAIN, *places, *option]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_prototypes_start_as_mean_embeddings(
    pretrained: Path, second_stage: list[str], tmp_path: Path
) -> None:
    options = [
        *second_stage,
        "--epochs",
        "1",
        "--learning-rate",
        "0",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*PRETRAIN, *options]) == 0
    trained = scoring_model(build_net("alexnet", 8, Recipe(contrast_px=32), input_px=32))
    trained.load_weights(tmp_path / "run/state-0001.weights.h5")
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


def test_for_whitening_every_palm_is_seen_twice_however_long_an_epoch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def finish(nets: Any, stream: PalmStream, *others: Any) -> None:
        for index in range(len(stream)):
            seen.extend(stream[index][1])

    monkeypatch.setattr("training.commands.pretrain.finish", finish)
    options = ["--epochs", "1", "--pairs", "3", "--guard", "off"]
    assert main([*PRETRAIN, *options, "--out", str(tmp_path)]) == 0
    assert np.bincount(seen).tolist() == [2] * 8


def build(run: Path, weights: str = "best", input_px: int = 32) -> keras.Model:
    net = build_net("alexnet", 1, Recipe(contrast_px=32, augment="none"), input_px=input_px)
    embedding_model(net).load_weights(run / f"{weights}.weights.h5")
    return net


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "nowhere"], "--from nowhere holds no alexnet/best.weights.h5"),
        (["--nets", "vgg16,resnet"], "unknown net 'resnet'"),
        (["--identities", "1"], "--identities must be at least 2, not 1"),
        (["--pairs", "0"], "--pairs must be at least 1, not 0"),
        (["--batch-size", "5"], "--batch-size must be an even number of at least 4, not 5"),
        (["--processes", "-1"], "--processes must be at least 0, not -1"),
        (["--monitor", "1"], "--monitor must be at least 2, not 1"),
    ],
)
def test_a_pretraining_that_makes_no_sense_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PRETRAIN, "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
