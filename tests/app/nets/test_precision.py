"""Nets run together in one model, in the fastest precision that was proven equal."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from app.nets.files import NetCorrupt, NetMissing, NetUnusable
from app.nets.manifest import read_manifest
from app.nets.openvino_engine import OpenvinoNets, describe_processor, merge, openvino
from app.nets.precision import PrecisionChoice, choose
from app.nets.precision_manifest import Measured, PrecisionManifest, Trial
from app.nets.running import NetMismatch
from app.nets.store import load_ensemble
from app.nets.tensorflow_engine import TensorflowNets
from tests.app.nets.conftest import add_version, checksum, seal
from tests.training.toy_versions import SIDE_PX, MapNet

IMAGE = np.zeros((1, 32, 32, 3), np.uint8)


def trial(**counts: int) -> Trial:
    """Returns a trial of 2,000 probes that just passes the gate, but for these counts."""
    just = {"equal": 1998, "false_non_matches": 13, "false_non_matches_of_tensorflow": 10}
    confused = {"false_matches": 0, "false_matches_of_tensorflow": 0}
    return Trial(part="test", probes=2000, **{**just, **confused, **counts})


def measured(precision: Any, *nets: str, **counts: int) -> Measured:
    return Measured(
        nets=nets,
        precision=precision,
        processor="toy",
        least_correlation=0.999,
        trials=(trial(**counts),),
    )


def write_artefact(models_dir: Path, *nets: str, version: int = 1, **counts: int) -> Path:
    """Writes precisions/<version>; its int8 is float32, so that no quantisation is needed."""
    folder = models_dir / "precisions" / str(version)
    folder.mkdir(parents=True)
    folders = {net: models_dir / net / "1" for net in nets}
    openvino().save_model(merge(folders), folder / "model.xml", compress_to_fp16=False)
    golden = {}
    for net, place in folders.items():
        with np.load(place / "golden.npz") as arrays:
            golden[f"{net}/1"] = arrays["map"].astype(np.float16)
    np.savez(folder / "golden.npz", **golden)
    sealed = {f"{net}/1": read_manifest(place).sha256 for net, place in folders.items()}
    gate = [measured(one, *sealed, **counts) for one in ("f32", "bf16", "int8")]
    manifest = PrecisionManifest(
        schema_version=1,
        net="precisions",
        version=version,
        created_at="2026-01-02T03:04:05+00:00",  # pyright: ignore[reportArgumentType]
        sources=sealed,
        layers={},
        calibration={},
        gate=tuple(gate),
        code_revision="none",
        libraries={},
    )
    (folder / "manifest.json").write_text(manifest.as_json())
    seal(folder)
    return folder


def serve(models_dir: Path, wanted: Any, *nets: str, cache: Path | None = None) -> str:
    """Returns the precision that serves, after one image."""
    names = nets or ("toy",)
    ensemble = load_ensemble(models_dir, names, "openvino", PrecisionChoice(wanted, cache))
    assert len(ensemble.maps(IMAGE)) == len(names)
    return ensemble.precision


def export_map_net(folder: Path, net: tf.Module) -> Path:
    tf.saved_model.save(net, str(folder), signatures={"serving_default": net.serve})
    return folder


def test_nets_in_one_model_compute_what_each_computes_alone(tmp_path: Path) -> None:
    folders = {f"net{seed}": export_map_net(tmp_path / str(seed), MapNet(seed)) for seed in (1, 2)}
    images = np.random.default_rng(3).integers(0, 256, (4, SIDE_PX, SIDE_PX, 3), np.uint8)

    together = OpenvinoNets(folders).maps(images)

    for (maps, mask), (wanted, of_mask) in zip(
        together, TensorflowNets(folders).maps(images), strict=True
    ):
        np.testing.assert_allclose(maps, wanted, atol=1e-4)
        np.testing.assert_array_equal(mask, of_mask)
    assert not np.allclose(together[0][0], together[1][0], atol=0.1)


class FaintNet(MapNet):
    """The contrast of a bright image, amplified, before a convolution."""

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.uint8, "images")])
    def serve(self, images: Any) -> dict[str, Any]:
        x = tf.cast(images, tf.float32)
        x = (x - tf.nn.avg_pool2d(x, 5, 1, "SAME")) * 0.25
        x = tf.nn.conv2d(x, self.kernel, 2, "SAME")
        mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
        maps = (x - mean) / tf.sqrt(variance + 1e-6)
        return {"map": maps, "mask": tf.ones_like(maps[..., 0])}


def test_bfloat16_does_not_lose_a_faint_contrast(tmp_path: Path) -> None:
    folders = {"faint": export_map_net(tmp_path / "1", FaintNet(1))}
    images = np.random.default_rng(3).integers(240, 243, (2, SIDE_PX, SIDE_PX, 3), np.uint8)

    ((found, _),) = OpenvinoNets(folders, "bf16").maps(images)

    ((wanted, _),) = TensorflowNets(folders).maps(images)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9995


def test_some_of_the_quantised_nets_can_be_served(models_dir: Path) -> None:
    add_version(models_dir, "other", 1)
    quantised = write_artefact(models_dir, "toy", "other") / "model.xml"
    with np.load(models_dir / "toy/1/golden.npz") as golden:
        images, wanted = golden["images"], golden["map"]

    ((maps, _),) = OpenvinoNets({"other": models_dir / "other/1"}, "int8", quantised).maps(images)

    np.testing.assert_allclose(maps, wanted, atol=1e-4)


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
def test_a_precision_that_is_named_serves(models_dir: Path, precision: str) -> None:
    write_artefact(models_dir, "toy")
    assert serve(models_dir, precision) == precision


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_precision_that_the_store_lacks_is_missing(models_dir: Path, precision: str) -> None:
    assert serve(models_dir, "auto") == "f32"
    with pytest.raises(NetMissing, match=f"has no {precision} of toy/1: run .*quantize"):
        serve(models_dir, precision)


def test_what_was_measured_with_other_weights_does_not_count(models_dir: Path) -> None:
    write_artefact(models_dir, "toy")
    seal(models_dir / "toy/1", code_revision="exported again")

    assert serve(models_dir, "auto") == "f32"
    with pytest.raises(NetMissing, match="has no int8 of toy/1"):
        serve(models_dir, "int8")


def test_tensorflow_has_only_float32(models_dir: Path) -> None:
    write_artefact(models_dir, "toy")
    with pytest.raises(NetUnusable, match="PALM_PRECISION=int8 needs PALM_ENGINE=openvino"):
        load_ensemble(models_dir, ["toy"], "tensorflow", PrecisionChoice("int8"))
    chosen = PrecisionChoice("auto")
    assert load_ensemble(models_dir, ["toy"], "tensorflow", chosen).precision == "f32"


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        ({}, True),
        ({"equal": 1997}, False),
        ({"false_non_matches": 14}, False),
        ({"false_non_matches": 0}, True),
    ],
)
def test_the_gate(counts: dict[str, int], passes: bool) -> None:
    assert measured("int8", "toy/1", **counts).passed == passes


def test_auto_refuses_what_failed_the_gate(
    models_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_artefact(models_dir, "toy", equal=1997)
    cache = tmp_path / "precision.json"

    assert serve(models_dir, "auto", cache=cache) == "f32"
    assert not cache.exists()  # there was nothing to measure
    assert serve(models_dir, "int8") == "int8"
    assert "did not pass the gate" in caplog.text


def test_a_changed_file_is_corrupt(models_dir: Path) -> None:
    folder = write_artefact(models_dir, "toy")
    (folder / "model.bin").write_bytes(b"other weights")
    with pytest.raises(NetCorrupt, match=r"precisions/1/model\.bin has SHA-256"):
        serve(models_dir, "auto")


def test_auto_leaves_out_what_does_not_reproduce_its_golden_outputs(
    models_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_artefact(models_dir, "toy")
    with np.load(folder / "golden.npz") as golden:
        other = golden["toy/1"][:, ::-1]
    np.savez(folder / "golden.npz", **{"toy/1": other})
    seal(folder)

    with pytest.raises(NetMismatch, match=r"in int8 does not reproduce.*PRECISION=f32"):
        serve(models_dir, "int8")
    serve(models_dir, "auto")
    if "INT8" in describe_processor()[1]:
        assert "auto does not use int8" in caplog.text


class TimedNets:
    """Nets that take a stated time by a clock that only they move."""

    def __init__(self, ms: float, clock: list[float]) -> None:
        self.ms = ms
        self.clock = clock

    def maps(self, images: Any) -> list[Any]:
        self.clock[0] += self.ms / 1000
        return []


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Returns a function that chooses among nets of stated times, and what was compiled."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run(key: str = "this machine", **ms: float) -> tuple[str, list[str]]:
        compiled: list[str] = []

        def compile_one(precision: str) -> TimedNets:
            compiled.append(precision)
            return TimedNets(ms[precision], clock)

        cache = tmp_path / "data/precision.json"
        among: Any = [*ms]
        return choose(among, compile_one, IMAGE, cache, {"machine": key})[0], compiled

    return run


def test_auto_takes_the_fastest_and_remembers_it(measure: Callable[..., Any]) -> None:
    assert measure(f32=3, bf16=1, int8=2) == ("bf16", ["f32", "bf16", "int8"])
    assert measure(f32=1, bf16=2, int8=3) == ("bf16", ["bf16"])


def test_another_machine_is_measured_again(measure: Callable[..., Any]) -> None:
    measure(f32=3, int8=2)
    assert measure("another", f32=1, int8=2) == ("f32", ["f32", "int8"])


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": {"machine": "this machine"}}', "\0"])
def test_a_cache_that_cannot_be_read_is_measured_again(
    measure: Callable[..., Any], tmp_path: Path, content: str
) -> None:
    measure(f32=3, int8=2)
    cache = tmp_path / "data/precision.json"
    cache.write_text(content)
    assert measure(f32=1, int8=2) == ("f32", ["f32", "int8"])
    assert json.loads(cache.read_text())["fastest"] == "f32"
    assert [one.name for one in cache.parent.iterdir()] == ["precision.json"]


def test_a_cache_that_cannot_be_written_is_logged(
    measure: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").touch()  # not even root can write into a file as into a folder
    caplog.set_level(logging.WARNING)
    assert measure(f32=1, int8=2)[0] == "f32"
    assert "precision.json cannot be written" in caplog.text


def test_the_manifest_s_checksum_is_that_of_its_content(models_dir: Path) -> None:
    content = json.loads((write_artefact(models_dir, "toy") / "manifest.json").read_text())
    assert content.pop("sha256") == checksum(content)
