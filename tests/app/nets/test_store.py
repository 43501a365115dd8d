"""What the store serves and what it refuses."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.matching.calibration import Threshold
from app.matching.templates import NetKey
from app.nets.store import (
    LoadedNet,
    NetCorrupt,
    NetMismatch,
    NetMissing,
    NetUnusable,
    _check_sum,
    load_ensemble,
    load_nets,
)

Seal = Callable[..., None]
both_engines = pytest.mark.parametrize("engine", ["openvino", "tensorflow"])


def load(models_dir: Path, name: str = "toy", engine: str = "openvino") -> LoadedNet:
    (net,) = load_nets(models_dir, [name], engine)
    return net


def change_golden(folder: Path, seal: Seal, **changes: Any) -> None:
    with np.load(folder / "golden.npz") as arrays:
        golden = {**arrays, **changes}
    np.savez(folder / "golden.npz", **golden)
    seal(folder)


@both_engines
def test_a_whole_version_is_served(engine: str, exported: Path) -> None:
    net = load(exported, engine=engine)

    assert net.key == NetKey("toy", 1)
    assert net.identities == ("p001", "p002", "p003", "p004")
    assert net.input_px == 32
    assert net.calibration.temperature == 0.1
    assert net.calibration.threshold_at(1e-3).similarity == pytest.approx(0.4)
    assert net.calibration.threshold_at(1e-9) == Threshold(0.5, pytest.approx(1e-4))
    np.testing.assert_array_equal(net.prototypes, np.load(exported / "toy/1/prototypes.npy"))
    assert net.embed(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 16)


def test_nets_come_in_the_order_of_their_names(models_dir: Path, seal: Seal) -> None:
    shutil.copytree(models_dir / "toy", models_dir / "other")
    seal(models_dir / "other/1", net="other")

    nets = load_nets(models_dir, ["toy", "other"], "openvino")

    assert [str(net.key) for net in nets] == ["toy/1", "other/1"]


def test_the_highest_version_is_served_unless_one_is_named(models_dir: Path, seal: Seal) -> None:
    for version in (2, 10):
        shutil.copytree(models_dir / "toy/1", models_dir / f"toy/{version}")
        seal(models_dir / f"toy/{version}", version=version)

    assert load(models_dir).key.version == 10
    assert load(models_dir, "toy:2").key.version == 2


def test_an_unfinished_export_is_not_a_version(models_dir: Path) -> None:
    (models_dir / "toy/.2.tmp").mkdir()

    assert load(models_dir).key.version == 1


def test_a_broken_highest_version_is_not_passed_over(models_dir: Path) -> None:
    (models_dir / "toy/2").mkdir()

    with pytest.raises(NetCorrupt, match=r"toy/2/manifest\.json"):
        load(models_dir)


@pytest.mark.parametrize("name", ["vgg16", "toy:2", "../toy", "toy:latest"])
def test_a_net_that_is_not_there_is_missing(name: str, exported: Path) -> None:
    with pytest.raises(NetMissing):
        load(exported, name)


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match="nowhere"):
        load(tmp_path / "nowhere")


def test_naming_no_net_is_refused(exported: Path) -> None:
    with pytest.raises(NetMissing):
        load_nets(exported, [], "openvino")


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index", "prototypes.npy", "golden.npz"],
)
def test_one_changed_byte_is_corrupt_and_the_file_named(name: str, models_dir: Path) -> None:
    path = models_dir / "toy/1" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(NetCorrupt, match=name):
        load(models_dir)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "prototypes.npy", "golden.npz"]
)
def test_a_missing_file_is_corrupt_and_named(name: str, models_dir: Path) -> None:
    (models_dir / "toy/1" / name).unlink()

    with pytest.raises(NetCorrupt, match=name):
        load(models_dir)


def test_a_net_of_an_earlier_release_is_to_be_exported_again(
    models_dir: Path, seal: Callable[..., None]
) -> None:
    folder = models_dir / "toy/1"
    plain = np.load(folder / "prototypes.npy")[:, 0]
    np.save(folder / "prototypes.npy", plain)
    seal(folder)
    with pytest.raises(NetCorrupt, match=r"prototypes\.npy: \(4, 5, 16\), not \(4, 2, 5, 16\);"):
        load(models_dir)

    seal(folder, schema_version=2)
    with pytest.raises(NetCorrupt, match=r"schema_version.*export the net again"):
        load(models_dir)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 1},
        {"temperature": 0},
        {"thresholds": []},
        {"identities": []},
        {"version": 7},
        {"net": "vgg16"},
        {"embedding_size": 8},
        {"identities": ["p001"]},
        {"identities": ["p001", "p002", "p003", "p001"]},
        {"input": {"height": 32, "width": 48, "channels": 3, "dtype": "uint8"}},
        {
            "thresholds": [
                {"fmr": 0.01, "similarity": 0.5, "comparisons": 9},
                {"fmr": 0.001, "similarity": 0.4, "comparisons": 9},
            ]
        },
    ],
    ids=str,
)
def test_a_manifest_that_says_otherwise_is_corrupt(
    changes: dict[str, Any], models_dir: Path, seal: Seal
) -> None:
    seal(models_dir / "toy/1", **changes)

    with pytest.raises(NetCorrupt) as refusal:
        load(models_dir)
    assert "\n" not in str(refusal.value)


def test_a_manifest_that_is_no_json_is_corrupt(models_dir: Path) -> None:
    (models_dir / "toy/1/manifest.json").write_text("{")

    with pytest.raises(NetCorrupt, match=r"manifest\.json") as refusal:
        load(models_dir)
    assert_one_line(refusal)


def assert_one_line(refusal: pytest.ExceptionInfo[NetCorrupt]) -> None:
    assert "\n" not in str(refusal.value)
    assert "http" not in str(refusal.value)
    assert "restore" in str(refusal.value)


def test_a_manifest_must_vouch_for_the_files_that_are_read(models_dir: Path) -> None:
    path = models_dir / "toy/1/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["golden.npz"], manifest["sha256"]
    path.write_text(json.dumps(manifest | {"sha256": sha256_of(manifest)}))

    with pytest.raises(NetCorrupt, match=r"golden\.npz"):
        load(models_dir)


@both_engines
def test_other_answers_than_the_golden_ones_are_a_mismatch(
    engine: str, models_dir: Path, seal: Seal
) -> None:
    turned = np.roll(np.load(models_dir / "toy/1/golden.npz")["embedding"], 1, axis=1)
    change_golden(models_dir / "toy/1", seal, embedding=turned)

    with pytest.raises(NetMismatch, match=f"toy/1.*{engine}.*cosine"):
        load(models_dir, engine=engine)


def test_one_golden_image_off_is_enough(models_dir: Path, seal: Seal) -> None:
    embedding = np.load(models_dir / "toy/1/golden.npz")["embedding"]
    embedding[2, 0] += 0.2
    embedding[2] /= np.linalg.norm(embedding[2])
    change_golden(models_dir / "toy/1", seal, embedding=embedding)

    with pytest.raises(NetMismatch):
        load(models_dir)


def test_another_best_identity_is_a_mismatch(models_dir: Path, seal: Seal) -> None:
    similarity = np.load(models_dir / "toy/1/golden.npz")["similarity"]
    change_golden(models_dir / "toy/1", seal, similarity=-similarity)

    with pytest.raises(NetMismatch):
        load(models_dir)


@both_engines
def test_an_engine_that_is_not_installed_is_named(
    engine: str, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, engine, None)

    with pytest.raises(NetUnusable, match=engine):
        load(exported, engine=engine)


@pytest.fixture
def two_nets(models_dir: Path, seal: Seal) -> Path:
    """A models store with toy/1 and other/1, and what they mean together."""
    shutil.copytree(models_dir / "toy", models_dir / "other")
    seal(models_dir / "other/1", net="other")
    write_fusion(models_dir)
    return models_dir


def sha256_of(said: Any) -> str:
    """As an export writes it."""
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_fusion(models_dir: Path, **changes: Any) -> None:
    entry = {
        "nets": ["toy/1", "other/1"],
        "weights": [0.75, 0.25],
        "temperature": 0.07,
        "thresholds": [{"fmr": 0.01, "similarity": 0.4, "comparisons": 1000}],
        **changes,
    }
    content = {"schema_version": 1, "fusions": [entry], "sha256": sha256_of([entry])}
    (models_dir / "fusion.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("names", "weights"), [(["toy", "other"], (0.75, 0.25)), (["other", "toy"], (0.25, 0.75))]
)
def test_a_fusion_s_weights_follow_the_order_of_the_nets(
    two_nets: Path, names: list[str], weights: tuple[float, ...]
) -> None:
    fusion = load_ensemble(two_nets, names, "openvino").fusion

    assert fusion.weights == weights
    assert fusion.calibration.temperature == 0.07
    assert fusion.calibration.thresholds == (Threshold(0.4, 0.01, 1000),)


def test_one_net_alone_needs_no_fusion(models_dir: Path) -> None:
    ensemble = load_ensemble(models_dir, ["toy"], "openvino")

    assert ensemble.fusion.weights == (1.0,)
    assert ensemble.fusion.calibration == ensemble.nets[0].calibration


def test_nets_that_were_not_calibrated_together_are_missing(two_nets: Path) -> None:
    write_fusion(two_nets, nets=["toy/1", "third/1"])
    with pytest.raises(NetMissing, match=r"toy/1 \+ other/1.*training fuse"):
        load_ensemble(two_nets, ["toy", "other"], "openvino")
    (two_nets / "fusion.json").unlink()
    with pytest.raises(NetMissing, match=r"fusion\.json"):
        load_ensemble(two_nets, ["toy", "other"], "openvino")


@pytest.mark.parametrize("changes", [{"weights": [1.0]}, {"weights": [0.5, 0.6]}, {"nets": None}])
def test_a_fusion_that_makes_no_sense_is_corrupt(two_nets: Path, changes: dict[str, Any]) -> None:
    write_fusion(two_nets, **changes)
    with pytest.raises(NetCorrupt, match=r"fusion\.json") as refusal:
        load_ensemble(two_nets, ["toy", "other"], "openvino")
    assert_one_line(refusal)


def test_a_fusion_with_a_changed_digit_is_corrupt(two_nets: Path) -> None:
    path = two_nets / "fusion.json"
    assert load_ensemble(two_nets, ["toy", "other"], "openvino").fusion.weights == (0.75, 0.25)

    path.write_text(path.read_text().replace('"similarity": 0.4', '"similarity": 0.1'))
    with pytest.raises(
        NetCorrupt, match=r"fusion\.json .*SHA-256 \w{64}, and should have"
    ) as refusal:
        load_ensemble(two_nets, ["toy", "other"], "openvino")
    assert_one_line(refusal)


def test_a_manifest_with_a_changed_digit_is_corrupt(models_dir: Path) -> None:
    path = models_dir / "toy/1/manifest.json"
    path.write_text(path.read_text().replace('"similarity": 0.5', '"similarity": 0.4'))
    with pytest.raises(NetCorrupt, match=r"manifest\.json .*SHA-256 \w{64}, and") as refusal:
        load_ensemble(models_dir, ["toy"], "openvino")
    assert_one_line(refusal)


def test_a_manifest_without_a_checksum_is_corrupt(models_dir: Path) -> None:
    path = models_dir / "toy/1/manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(NetCorrupt, match=r"manifest\.json .*sha256.*required"):
        load_ensemble(models_dir, ["toy"], "openvino")


def test_what_is_shipped_has_its_checksums() -> None:
    store = Path(__file__).parents[3] / "models_store"
    fusions = json.loads((store / "fusion.json").read_text())
    _check_sum(store, fusions["fusions"], fusions["sha256"])
    manifests = list(store.glob("*/*/manifest.json"))
    assert len(manifests) == 3
    for path in manifests:
        said = json.loads(path.read_text())
        _check_sum(path, said, said.pop("sha256"))


def test_a_net_cannot_vote_twice(models_dir: Path) -> None:
    with pytest.raises(NetMissing, match="twice among toy/1, toy/1"):
        load_ensemble(models_dir, ["toy", "toy:1"], "openvino")
