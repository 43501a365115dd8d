"""What training writes, the service reads and answers alike."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.gallery.gallery import Gallery
from app.gallery.sql.sqlite import open_sqlite
from app.identifier import Identifier
from app.matching import scores
from app.matching.templates import NetKey
from app.nets.files import NetCorrupt
from app.nets.manifest import read_manifest
from app.nets.store import load_ensemble, load_nets
from tests.app.conftest import MASTER_KEYS
from tests.app.palm.toy_net import reader_of_crops
from training.__main__ import main
from training.database.palms import Palms, load_palms
from training.fit.batches import as_colour
from training.nets.build import build_net
from training.versions.fuse import read_fusion
from training.versions.read import Version

SIDE_PX = 64
"""Of the nets' input; small nets train in seconds."""


@pytest.fixture(scope="session")
def palms(database: Path) -> Palms:
    return load_palms(database, SIDE_PX)


@pytest.fixture(scope="session")
def store(
    database: Path,
    strangers: Path,
    other_strangers: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Two nets trained for two epochs through the command line, exported and fused."""
    folder = tmp_path_factory.mktemp("contract")
    sized = ["--size-px", str(SIDE_PX)]
    short = ["--epochs", "2", "--batch-size", "4", "--precision", "float32", "--guard", "off"]
    for net in ("alexnet", "vgg16"):
        train = ["train", "--net", net, "--data", str(database), "--out", str(folder / net)]
        assert main([*train, *sized, *short]) == 0
        assert export(folder / net, database, strangers, folder / "store") == 0
    nets = ["--store", str(folder / "store"), *sized, "--nets", "alexnet", "vgg16"]
    data = ["--data", str(database), *nets, "--strangers"]
    assert main(["fuse", *data, str(strangers)]) == 0
    measured = [*data, str(other_strangers), "--out", str(folder / "evaluation.json")]
    assert main(["evaluate", *measured]) == 0
    return folder / "store"


def export(run: Path, data: Path, strangers: Path, store: Path) -> int:
    options = {"run": run, "data": data, "strangers": strangers, "store": store}
    return main(["export", *(f"--{name}={path}" for name, path in options.items())])


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    gallery = open_sqlite(f"sqlite:///{tmp_path}/gallery.db", MASTER_KEYS)
    yield gallery
    gallery.close()


def open_identifier(store: Path, nets: list[str], gallery: Gallery) -> Identifier:
    ensemble = load_ensemble(store, nets, "openvino")
    gallery.seed_trained(ensemble.identities)
    return Identifier(
        ensemble,
        gallery,
        reader_of_crops(),
        fpir_target=0.01,
        fmr_target=0.001,
        quality_enroll=0,
        quality_probe=0,
    )


def test_a_run_and_its_evaluation_are_written(store: Path) -> None:
    for name in ("history.csv", "history.png", "config.json", "best.weights.h5"):
        assert (store.parent / "vgg16" / name).stat().st_size > 0
    report = json.loads((store.parent / "evaluation.json").read_text())
    assert list(report["nets"]) == ["alexnet", "vgg16", "fused"]
    assert report["nets"]["fused"]["top_5"] == 1  # of four identities
    assert "| fused |" in (store.parent / "evaluation.md").read_text()


def test_weights_take_two_bytes_each(store: Path) -> None:
    net = build_net("vgg16", identities=4, folded=True, input_px=SIDE_PX)
    size = sum(p.stat().st_size for p in (store / "vgg16/1/variables").iterdir())
    assert 2 * net.count_params() < size < 2.1 * net.count_params()


def test_numbers_that_float16_cannot_hold_survive_export(
    store: Path, database: Path, strangers: Path, palms: Palms, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(store.parent / "alexnet", tmp_path / "run"))
    net = build_net("alexnet", identities=4, input_px=SIDE_PX)
    net.load_weights(run / "final.weights.h5")
    net.get_layer("dense_norm").moving_variance.assign(np.full(256, 1e6, np.float32))
    net.get_layer("dense_norm").gamma.assign(np.full(256, 1e3, np.float32))
    net.save_weights(run / "final.weights.h5")
    assert export(run, database, strangers, tmp_path / "store") == 0
    expected = np.asarray(net(as_colour(palms.images()))["embedding"])
    found = Version.open(tmp_path / "store/alexnet/1").run(palms)[1]
    assert (found * expected).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("net", ["alexnet", "vgg16"])
def test_both_engines_answer_as_the_exported_net(net: str, store: Path, palms: Palms) -> None:
    images = as_colour(palms.images())
    openvino, tensorflow = (load_nets(store, [net], e)[0] for e in ("openvino", "tensorflow"))
    one, other = openvino.maps(images), tensorflow.maps(images)
    assert np.abs(one.values.astype(int) - other.values).max() <= 1  # a 16th of a deviation
    np.testing.assert_array_equal(one.usable, other.usable)
    again = tensorflow.maps(images)  # nothing random is in the graph
    np.testing.assert_array_equal(again.values, other.values)
    of_training = Version.open(store / net / "1").maps(palms)
    np.testing.assert_array_equal(of_training.values, other.values)
    assert one.shape == openvino.format.shape


def test_the_service_has_the_templates_of_the_trained_identities(store: Path) -> None:
    (net,) = load_nets(store, ["vgg16"], "openvino")
    trained = Version.open(store / "vgg16/1").trained
    assert net.trained.counts.tolist() == [3] * 4
    np.testing.assert_array_equal(net.trained.maps.values, trained.maps.values)


def test_the_manifest_tells_what_the_net_was_trained_on(store: Path) -> None:
    manifest = read_manifest(store / "alexnet/1")
    assert manifest.identities == ("p001", "p002", "p003", "p004")
    assert len(manifest.dataset.sha256) == 64
    assert manifest.training["epochs"] == 2
    assert "saved_model.pb" in manifest.files
    assert manifest.libraries.keys() >= {"keras", "tensorflow", "numpy"}


def test_exported_nets_identify_and_enroll(store: Path, database: Path, gallery: Gallery) -> None:
    identifier = open_identifier(store, ["alexnet", "vgg16"], gallery)
    shots = [p.read_bytes() for p in sorted((database / "p002/s3").iterdir())]
    identifier.enroller.enroll("somebody", None, "left", shots, add=False, force=True)
    found = identifier.identify(shots)
    assert found.candidates[0].subject_id == "somebody"
    assert found.candidates[0].score == pytest.approx(1, abs=1e-3)
    formats = [read_manifest(store / net / "1").map_format for net in ("alexnet", "vgg16")]
    assert gallery.subject("somebody").template_counts == {str(one): 3 for one in formats}


@pytest.mark.parametrize(("least", "tolerance"), [(50, 2e-3), (4, 0.1)])
def test_training_and_service_compute_the_same_scores(
    store: Path,
    database: Path,
    palms: Palms,
    gallery: Gallery,
    monkeypatch: pytest.MonkeyPatch,
    least: int,
    tolerance: float,
) -> None:
    monkeypatch.setattr(scores, "MIN_COHORT", least)  # with four identities there is a cohort
    version = Version.open(store / "alexnet/1")
    theirs = version.scores(palms)
    identifier = open_identifier(store, ["alexnet"], gallery)
    for index, file in list(enumerate(palms.files))[::7]:
        found = identifier.identify([(database / file).read_bytes()])
        ours = {one.subject_id: one.score for one in found.candidates}
        expected = dict(zip(palms.identities, theirs[index].tolist(), strict=True))
        assert ours == pytest.approx(expected, abs=tolerance)
    assert (np.abs(theirs) > 1).any() == (least == 4)  # no similarities


def test_a_changed_digit_of_the_fusion_is_refused_on_both_sides(
    store: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    fusion = json.loads((copy / "fusion.json").read_text())
    fusion["fusions"][0]["cases"][0]["temperature"] += 1e-9
    (copy / "fusion.json").write_text(json.dumps(fusion))
    with pytest.raises(NetCorrupt, match=r"fusion\.json has SHA-256"):
        load_ensemble(copy, ["alexnet", "vgg16"], "openvino")
    with pytest.raises(NetCorrupt, match=r"fusion\.json has SHA-256"):
        read_fusion(copy, [NetKey("alexnet", 1), NetKey("vgg16", 1)])


def test_command_line_says_what_is_wrong_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--net", "vgg16", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "no images at <identity>/<session>/<image>" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
