"""From synthetic palms to a user's own, on toy nets: export, finetune, export again."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import TOY, export_of
from training.__main__ import main
from training.commands.finetune import Rehearsal, interpolate_weights, mean_embeddings
from training.database.palms import load_palms
from training.database.split import split_palms
from training.fit.checkpoint import read_history
from training.fit.result import predict
from training.nets.build import embedding_model
from training.synthetic.capture import TRAINING
from training.synthetic.strangers import draw_strangers
from training.versions.shipped import at_side, load_shipped


def finetune(exported: Path, database: Path, out: Path, *more: str) -> list[str]:
    places = ["--from", str(exported / "alexnet/1"), "--data", str(database), "--out", str(out)]
    return ["finetune", *places, "--rehearsed", "4", "--batch-size", "8", *TOY, *more]


@pytest.fixture(scope="module")
def tuned(exported: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of fine-tuning."""
    out = tmp_path_factory.mktemp("finetune") / "run"
    assert main(finetune(exported, database, out, "--epochs", "2")) == 0
    return out


def test_a_shipped_net_comes_back_as_it_was_exported(exported: Path, database: Path) -> None:
    shipped = load_shipped(exported / "alexnet/1")
    golden = np.load(exported / "alexnet/1/golden.npz")
    found = shipped.model(golden["images"], training=False)
    np.testing.assert_allclose(found["embedding"], golden["embedding"], atol=1e-4)
    np.testing.assert_allclose(found["similarity"], golden["similarity"], atol=1e-4)
    assert shipped.key == "alexnet/1"


def test_the_smaller_twin_answers_as_the_net_on_shrunk_images(exported: Path) -> None:
    shipped = load_shipped(exported / "alexnet/1")
    small = np.load(exported / "alexnet/1/golden.npz")["images"][:, ::7, ::7]
    images = small.repeat(7, axis=1).repeat(7, axis=2)  # shrinking gives back the same 8 bits
    twin = embedding_model(at_side(shipped, 32, identities=1))
    expected = embedding_model(shipped.model)(images, training=False)
    np.testing.assert_allclose(twin(small, training=False), expected, atol=1e-3)


def test_a_finetuning_is_judged_and_can_be_exported(
    tuned: Path, exported: Path, database: Path
) -> None:
    result = json.loads((tuned / "result.json").read_text())
    assert result["test"]["images"] == 4 * 3
    strangers = result["strangers"]
    assert strangers["eer_after"] <= strangers["eer_before"]
    assert (tuned / "report.html").exists()
    assert main(export_of(tuned, database, exported)) == 0
    manifest = json.loads((exported / "alexnet/2/manifest.json").read_text())
    assert manifest["training"]["from"] == "alexnet/1"
    assert manifest["identities"] == ["p001", "p002", "p003", "p004"]
    assert "start" not in manifest["training"]


def test_a_finished_finetuning_is_not_trained_again(
    tuned: Path, exported: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tuned / "history.csv").read_bytes()
    assert main(finetune(exported, database, tuned, "--epochs", "2")) == 0
    assert (tuned / "history.csv").read_bytes() == before
    assert main(finetune(exported, database, tuned, "--epochs", "2", "--seed", "7")) == 2
    assert "holds a run with other settings (seed 1, not 7)" in capsys.readouterr().err


def test_palms_kept_from_a_finetuning_judge_it(exported: Path, tmp_path: Path) -> None:
    assert main(["synthesize", "--identities", "6", "--sessions", "2", "--shots", "2",
                 "--out", str(tmp_path / "palms")]) == 0  # fmt: skip
    out = tmp_path / "run"
    arguments = finetune(exported, tmp_path / "palms", out, "--epochs", "1")
    assert main([*arguments, "--split", "identity"]) == 0
    assert {"val_rank_1", "val_eer"} <= read_history(out)[0].keys()
    result = json.loads((out / "result.json").read_text())
    assert {"rank_1", "eer"} == result["test"].keys()


def test_what_costs_strangers_is_taken_back(exported: Path) -> None:
    shipped = load_shipped(exported / "alexnet/1")
    monitored = draw_strangers(6, 11, TRAINING, side_px=32)
    ruined = at_side(shipped, 32, identities=3)
    dense = ruined.get_layer("dense")
    dense.set_weights([np.zeros_like(w) for w in dense.get_weights()])
    kept, found = interpolate_weights(shipped, ruined, monitored, identities=3)
    assert found["share_kept"] < 1
    assert found["eer_after"] <= found["eer_before"]
    assert kept.output["similarity"].shape[-1] == 3
    _, found = interpolate_weights(shipped, ruined, monitored, identities=3, may_rise=1)
    assert found["share_kept"] == 1


def test_a_batch_pairs_the_users_palms_and_then_the_rehearsed(database: Path) -> None:
    train = split_palms(load_palms(database, 32), by="session").train
    batches = Rehearsal(train, None, people=3, seed=1, epoch=0)
    images, labels = batches[0]
    assert images.shape == (6, 32, 32, 3)
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    assert len(set(labels)) == 3
    again = Rehearsal(train, None, people=3, seed=1, epoch=0)[0]
    np.testing.assert_array_equal(images, again[0])


def test_prototypes_are_mean_embeddings_of_unit_length(exported: Path, database: Path) -> None:
    embedder = embedding_model(load_shipped(exported / "alexnet/1").model)
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
    exported: Path,
    database: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(finetune(exported, database, tmp_path / "out", *arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line
    assert not (tmp_path / "out").exists()
