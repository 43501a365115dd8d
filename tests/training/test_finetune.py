"""From synthetic palms to a user's own, on toy nets: pretrain, export, finetune, export again."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from training.__main__ import main
from training.checkpoint import load_best, read_history
from training.data import load_palms
from training.finetune import Rehearsal, mean_embeddings, take_back
from training.nets import build_net, embedder_of, scores_of
from training.openset import OpenSetScore
from training.pretrain import UNSEEN_SEED
from training.recipe import Recipe
from training.result import predict
from training.shipped import at_side, load_shipped
from training.split import split_palms
from training.synthetic.capture import TRAINING
from training.synthetic.stream import PalmStream, strangers
from training.synthetic.synthesize import draw_palms

TOY = ["--watched", "4", "--precision", "float32"]
PRETRAIN = ["pretrain", "--net", "alexnet", "--identities", "8", "--batch-size", "8", *TOY]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training of two epochs at 32 px."""
    out = tmp_path_factory.mktemp("pretrain") / "run"
    assert main([*PRETRAIN, "--contrast-px", "32", "--epochs", "2", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def store(run: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is exported from it, with the database's identities."""
    store = tmp_path_factory.mktemp("store")
    assert main(export_of(run, database, store)) == 0
    return store


def export_of(run: Path, database: Path, store: Path) -> list[str]:
    places = ["--data", str(database), "--strangers", str(database), "--store", str(store)]
    return ["export", "--run", str(run), *places]


def finetune(store: Path, database: Path, out: Path, *more: str) -> list[str]:
    places = ["--from", str(store / "alexnet/1"), "--data", str(database), "--out", str(out)]
    return ["finetune", *places, "--rehearsed", "4", "--batch-size", "8", *TOY, *more]


@pytest.fixture(scope="module")
def tuned(store: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of fine-tuning."""
    out = tmp_path_factory.mktemp("finetune") / "run"
    assert main(finetune(store, database, out, "--epochs", "2")) == 0
    return out


def test_a_pretraining_says_what_it_came_to(run: Path) -> None:
    rows = read_history(run)
    assert len(rows) == 2
    assert {"loss", "val_eer", "val_rank_1", "held_out_eer"} <= rows[0].keys()
    result = json.loads((run / "result.json").read_text())
    assert result["pictures"] == 2 * 2 * 8
    assert result["last"]["epoch"] == 2
    assert {"eer", "rank_1"} == result["whitened"]["val"].keys()


def test_a_stopped_pretraining_ends_as_one_that_was_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    options = [*PRETRAIN, "--contrast-px", "32", "--epochs", "2", "--out", str(out)]
    judge = OpenSetScore.on_epoch_end

    def stop_in_epoch_2(
        self: OpenSetScore, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        if epoch == 1:
            raise InterruptedError
        judge(self, epoch, logs)

    monkeypatch.setattr(OpenSetScore, "on_epoch_end", stop_in_epoch_2)
    assert main(options) == 2
    monkeypatch.undo()
    assert len(read_history(out)) == 1
    assert main(options) == 0
    losses = [[row["loss"] for row in read_history(folder)] for folder in (run, out)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_shipped_net_comes_back_as_it_was_exported(store: Path, database: Path) -> None:
    shipped = load_shipped(store / "alexnet/1")
    golden = np.load(store / "alexnet/1/golden.npz")
    found = shipped.model(golden["images"], training=False)
    np.testing.assert_allclose(found["embedding"], golden["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["similarity"], golden["similarity"], atol=1e-4)
    assert shipped.key == "alexnet/1"


def test_the_smaller_twin_answers_as_the_net_on_shrunk_pictures(store: Path) -> None:
    shipped = load_shipped(store / "alexnet/1")
    images = np.load(store / "alexnet/1/golden.npz")["images"]
    small = images.reshape(len(images), 32, 7, 32, 7, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    twin = embedder_of(at_side(shipped, 32, identities=1))
    expected = embedder_of(shipped.model)(images, training=False)
    cosines = (np.asarray(twin(small, training=False)) * np.asarray(expected)).sum(axis=1)
    assert cosines.min() > 0.95  # rounded to 8 bits once more, and whitened: small things count


def test_a_finetuning_is_judged_and_can_be_exported(
    tuned: Path, store: Path, database: Path
) -> None:
    result = json.loads((tuned / "result.json").read_text())
    assert result["test"]["pictures"] == 4 * 3
    strangers = result["strangers"]
    assert strangers["eer_after"] <= strangers["eer_before"] + 1 / 8  # one probe of those watched
    assert (tuned / "report.html").exists()
    assert main(export_of(tuned, database, store)) == 0
    manifest = json.loads((store / "alexnet/2/manifest.json").read_text())
    assert manifest["training"]["from"] == "alexnet/1"
    assert manifest["identities"] == ["p001", "p002", "p003", "p004"]
    assert "start" not in manifest["training"]


def test_a_finished_finetuning_is_not_trained_again(
    tuned: Path, store: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tuned / "history.csv").read_bytes()
    assert main(finetune(store, database, tuned, "--epochs", "2")) == 0
    assert (tuned / "history.csv").read_bytes() == before
    assert main(finetune(store, database, tuned, "--epochs", "2", "--seed", "7")) == 2
    assert "holds a run with other settings (seed 1, not 7)" in capsys.readouterr().err


def test_palms_kept_from_a_finetuning_judge_it(store: Path, tmp_path: Path) -> None:
    assert main(["synthesize", "--identities", "6", "--sessions", "2", "--shots", "2",
                 "--out", str(tmp_path / "palms")]) == 0  # fmt: skip
    out = tmp_path / "run"
    arguments = finetune(store, tmp_path / "palms", out, "--epochs", "1")
    assert main([*arguments, "--split", "identity"]) == 0
    assert {"val_rank_1", "val_eer"} <= read_history(out)[0].keys()
    result = json.loads((out / "result.json").read_text())
    assert {"rank_1", "eer"} == result["test"].keys()


def test_what_costs_strangers_is_taken_back(store: Path) -> None:
    shipped = load_shipped(store / "alexnet/1")
    watched = strangers(6, 11, TRAINING, side_px=32)
    ruined = at_side(shipped, 32, identities=3)
    dense = ruined.get_layer("dense")
    dense.set_weights([np.zeros_like(w) for w in dense.get_weights()])
    kept, found = take_back(shipped, ruined, watched, identities=3)
    assert found["share_kept"] < 1
    assert found["eer_after"] <= found["eer_before"] + 1 / 12
    assert kept.output["similarity"].shape[-1] == 3


def test_a_batch_pairs_the_users_palms_and_then_the_rehearsed(database: Path) -> None:
    train = split_palms(load_palms(database, 32), by="session").train
    batches = Rehearsal(train, None, people=3, seed=1, epoch=0)
    images, labels = batches[0]
    assert images.shape == (6, 32, 32, 3)
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    assert len(set(labels)) == 3
    again = Rehearsal(train, None, people=3, seed=1, epoch=0)[0]
    np.testing.assert_array_equal(images, again[0])


def test_prototypes_are_mean_embeddings_of_unit_length(store: Path, database: Path) -> None:
    embedder = embedder_of(load_shipped(store / "alexnet/1").model)
    palms = load_palms(database, 224)
    prototypes = mean_embeddings(embedder, palms)
    mean = predict(embedder, palms)[palms.labels == 2].mean(axis=0)
    np.testing.assert_allclose(prototypes[2], mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "2"], "--batch-size must be at least 4, not 2"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--rehearsed", "-1"], "--rehearsed must be at least 0, not -1"),
        (["--devices", "all"], "use --devices one"),
        (["--from", "nowhere"], "nowhere/manifest.json is missing: give the folder of a version"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    store: Path,
    database: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(finetune(store, database, tmp_path / "out", *arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_pretraining_may_start_from_another(run: Path, tmp_path: Path) -> None:
    arguments = [*PRETRAIN, "--contrast-px", "32", "--epochs", "1", "--learning-rate", "0"]
    assert main([*arguments, "--from", str(run), "--out", str(tmp_path / "run")]) == 0
    start, found = (embedder_of(build(folder)) for folder in (run, tmp_path / "run"))
    kernels = [net.get_layer("conv3").get_weights()[0] for net in (start, found)]
    np.testing.assert_array_equal(*kernels)


def test_prototypes_start_as_mean_embeddings_of_pictures_that_no_epoch_has(
    run: Path, database: Path, tmp_path: Path
) -> None:
    against = ["--against", "prototypes", "--from", str(run), "--contrast-px", "32"]
    options = [*against, "--epochs", "1", "--learning-rate", "0", "--out", str(tmp_path / "run")]
    assert main([*PRETRAIN, *options]) == 0
    trained = scores_of(build_net("alexnet", 8, Recipe(contrast_px=32), input_px=32))
    trained.load_weights(tmp_path / "run/state-0001.weights.h5")
    stream = PalmStream(
        draw_palms(8, 1, tmp_path), pairs=1, batch_size=8, side_px=32, seed=UNSEEN_SEED
    )
    batches = [stream[index] for index in range(len(stream))]
    embeddings = np.concatenate([embedder_of(build(run))(x, training=False) for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    means = np.stack([embeddings[labels == i].mean(axis=0) for i in range(8)])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    (found,) = trained.get_layer("similarity").get_weights()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert main(export_of(tmp_path / "run", database, tmp_path / "store")) == 0


def build(run: Path) -> keras.Model:
    net = build_net("alexnet", 1, Recipe(contrast_px=32, augment="none"), input_px=32)
    load_best(embedder_of(net), run)
    return net


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "nowhere"], "--from nowhere holds no best.weights.h5"),
        (["--net", "resnet"], "unknown net 'resnet'"),
        (["--identities", "1"], "--identities must be at least 2, not 1"),
        (["--pairs", "0"], "--pairs must be at least 1, not 0"),
        (["--batch-size", "5"], "--batch-size must be an even number of at least 4, not 5"),
        (["--watched", "1"], "--watched must be at least 2, not 1"),
    ],
)
def test_a_pretraining_that_makes_no_sense_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PRETRAIN, "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
