"""What the store serves and what it refuses."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.matching.calibration import Threshold
from app.matching.maps import MapShape
from app.matching.templates import MapFormat, NetKey
from app.nets.files import NetCorrupt, NetMissing, NetUnusable
from app.nets.running import NetMismatch
from app.nets.store import LoadedNet, load_ensemble, load_nets
from app.settings import Settings
from tests.app.nets.conftest import add_version, fusion_cases, seal, write_fusions

both_engines = pytest.mark.parametrize("engine", ["openvino", "tensorflow"])


def load(models_dir: Path, name: str = "toy", engine: str = "openvino") -> LoadedNet:
    (net,) = load_nets(models_dir, [name], engine)
    return net


def served(models_dir: Path, *names: str) -> list[str]:
    """Returns the versions in service, and the fusion's temperature."""
    ensemble = load_ensemble(models_dir, names, "openvino")
    (first, *_) = ensemble.fusion.calibration.cases
    return [*(str(net.key) for net in ensemble.nets), str(first.temperature)]


@both_engines
def test_a_whole_version_is_served(engine: str, exported: Path) -> None:
    net = load(exported, engine=engine)

    assert net.key == NetKey("toy", 1)
    assert net.identities == ("p001", "p002", "p003", "p004")
    assert net.input_px == 32
    assert net.calibration.cases[0].threshold_at(1e-3).score == pytest.approx(0.4)
    assert net.format == MapFormat("toy", "0123456789abcdef", MapShape(8, 4))
    with np.load(exported / "toy/1/templates.npz") as file:
        np.testing.assert_array_equal(net.trained.owners, file["owners"])
        np.testing.assert_array_equal(net.trained.maps.values, file["values"])
        np.testing.assert_array_equal(net.trained.maps.scales, file["scales"])
    maps = net.maps(np.zeros((2, 32, 32, 3), np.uint8))
    assert (len(maps), maps.shape) == (2, MapShape(8, 4))


def test_one_net_takes_its_highest_version_unless_one_is_pinned(models_dir: Path) -> None:
    for version in (2, 10):
        add_version(models_dir, "toy", version)

    assert load(models_dir).key.version == 10
    assert load(models_dir, "toy:2").key.version == 2
    assert served(models_dir, "toy") == ["toy/10", "0.1"]


def test_a_broken_highest_version_is_not_skipped(models_dir: Path) -> None:
    (models_dir / "toy/2").mkdir()

    with pytest.raises(NetCorrupt, match=r"toy/2/manifest\.json"):
        load(models_dir)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg16", "holds no version of vgg16"),
        ("toy:2", r"has no version 2, only \[1\]"),
        ("../toy", "is not a net"),
        ("toy:latest", "is not a net"),
        ("Toy", "is not a net"),
    ],
)
def test_a_net_that_is_not_there_is_missing(name: str, message: str, exported: Path) -> None:
    with pytest.raises(NetMissing, match=message):
        load(exported, name)


@pytest.mark.parametrize("name", ["my-net", "my-net:1", "my_net"])
def test_the_settings_and_the_store_accept_the_same_names(models_dir: Path, name: str) -> None:
    add_version(models_dir, name.partition(":")[0], 1)

    (accepted,) = Settings(nets=name).nets

    assert load(models_dir, accepted).key.net == name.partition(":")[0]


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match="nowhere"):
        load(tmp_path / "nowhere")


def test_naming_no_net_is_refused(exported: Path) -> None:
    with pytest.raises(NetMissing, match="name at least one"):
        load_nets(exported, [], "openvino")


def test_a_changed_file_is_refused_before_it_is_run(models_dir: Path) -> None:
    (models_dir / "toy/1/saved_model.pb").write_bytes(b"another model")

    with pytest.raises(NetCorrupt, match=r"saved_model\.pb has SHA-256"):
        load(models_dir)


@both_engines
def test_a_model_that_the_engine_cannot_run_is_corrupt(engine: str, models_dir: Path) -> None:
    (models_dir / "toy/1/variables/variables.index").write_bytes(b"no variables")
    seal(models_dir / "toy/1")

    with pytest.raises(NetCorrupt, match=f"toy/1 cannot be run by {engine}"):
        load(models_dir, engine=engine)


def change_all(golden: dict[str, Any]) -> None:
    golden["map"] = golden["map"][..., ::-1]


def change_one(golden: dict[str, Any]) -> None:
    golden["map"][2] += 0.1 * np.arange(8)[:, None]


def lose_one(golden: dict[str, Any]) -> None:
    golden["map"][3, 0, 0, 0] = np.nan


def cover_a_place(golden: dict[str, Any]) -> None:
    golden["mask"][0, 3, 3] = 0


def change_golden(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with np.load(folder / "golden.npz") as arrays:
        golden = dict(arrays)
    change(golden)
    np.savez(folder / "golden.npz", **golden)
    seal(folder)


@both_engines
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_all, "correlation"),
        (change_one, "correlation"),
        (lose_one, "correlation nan"),
        (cover_a_place, "same mask: False"),
    ],
)
def test_other_outputs_than_the_golden_ones_are_a_mismatch(
    models_dir: Path, engine: str, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change_golden(models_dir / "toy/1", change)

    with pytest.raises(NetMismatch, match=f"{engine} does not reproduce .*toy/1.*{message}"):
        load(models_dir, engine=engine)


def cut_the_map(golden: dict[str, Any]) -> None:
    golden["map"] = golden["map"][:, :7]


def leave_out_the_map(golden: dict[str, Any]) -> None:
    del golden["map"]


@pytest.mark.parametrize("change", [cut_the_map, leave_out_the_map])
def test_golden_outputs_without_the_manifest_s_map_are_corrupt(
    models_dir: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    change_golden(models_dir / "toy/1", change)

    with pytest.raises(NetCorrupt, match=r"toy/1 cannot be run by openvino: .*export it again"):
        load(models_dir)


@both_engines
def test_an_engine_that_is_not_installed_is_named(
    engine: str, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, engine, None)  # as where the package is not installed

    with pytest.raises(NetUnusable, match=f"the {engine} engine is not installed"):
        load(exported, engine=engine)


@pytest.mark.parametrize(
    ("names", "weights"), [(["toy", "other"], (0.75, 0.25)), (["other", "toy"], (0.25, 0.75))]
)
def test_nets_and_weights_have_the_order_of_the_names(
    two_nets: Path, names: list[str], weights: tuple[float, ...]
) -> None:
    ensemble = load_ensemble(two_nets, names, "openvino")

    assert [net.key.net for net in ensemble.nets] == names
    assert ensemble.fusion.weights == weights
    (case,) = ensemble.fusion.calibration.cases
    assert (case.temperature, case.thresholds) == (0.07, (Threshold(0.4, 0.01, 1000),))


def test_one_net_alone_needs_no_fusion(models_dir: Path) -> None:
    ensemble = load_ensemble(models_dir, ["toy"], "openvino")

    assert ensemble.fusion.weights == (1.0,)
    assert ensemble.fusion.calibration == ensemble.nets[0].calibration


def test_a_version_is_served_once_fused(two_nets: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = {"cases": fusion_cases(0.07)}
    add_version(two_nets, "toy", 2)
    with caplog.at_level(logging.WARNING):
        assert served(two_nets, "toy", "other") == ["toy/1", "other/1", "0.07"]
    assert "toy/2 is not served" in caplog.text

    add_version(two_nets, "other", 2)
    assert served(two_nets, "toy", "other") == ["toy/1", "other/1", "0.07"]

    write_fusions(two_nets, {"nets": ["toy/2", "other/2"], "cases": fusion_cases(0.02)}, old)
    caplog.clear()
    assert served(two_nets, "toy", "other") == ["toy/2", "other/2", "0.02"]
    assert served(two_nets, "toy:1", "other") == ["toy/1", "other/1", "0.07"]
    assert caplog.text == ""


def test_nets_that_were_not_fused_are_refused(two_nets: Path) -> None:
    add_version(two_nets, "third", 1)
    add_version(two_nets, "toy", 2)

    with pytest.raises(NetMissing, match=r"toy \+ third, only of toy/1 \+ other/1.*training fuse"):
        load_ensemble(two_nets, ["toy", "third"], "openvino")
    with pytest.raises(NetMissing, match=r"no fusion of toy/2 \+ other, only"):
        load_ensemble(two_nets, ["toy:2", "other"], "openvino")
    (two_nets / "fusion.json").unlink()
    with pytest.raises(NetMissing, match=r"fusion\.json is missing"):
        load_ensemble(two_nets, ["toy", "other"], "openvino")


def test_a_net_that_is_not_there_is_named_before_its_fusion(two_nets: Path) -> None:
    with pytest.raises(NetMissing, match="holds no version of vgg16"):
        load_ensemble(two_nets, ["toy", "vgg16"], "openvino")


def test_a_net_cannot_vote_twice(models_dir: Path) -> None:
    with pytest.raises(NetMissing, match="toy is named twice among toy, toy:1"):
        load_ensemble(models_dir, ["toy", "toy:1"], "openvino")
