"""What becomes of a run or a version that is exported, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.matching.calibration import FPIR_TARGET
from app.nets.manifest import read_manifest
from training.__main__ import main
from training.commands.export import ExportConfig, export
from training.commands.synthesize import SynthesizeConfig, synthesize
from training.nets.build import build_net
from training.nets.recipe import PRESETS
from training.versions.read import Version
from training.versions.source import Source


@pytest.fixture
def config(toy_run: Path, database: Path, strangers: Path, tmp_path: Path) -> ExportConfig:
    """Exports the toy run into an empty store."""
    store = tmp_path / "store"
    return ExportConfig(run=toy_run, data=database, strangers=(strangers,), store=store)


@pytest.fixture
def version(toy_store: Path, tmp_path: Path) -> Path:
    """A copy of version 1 of the toy net."""
    return Path(shutil.copytree(toy_store / "alexnet/1", tmp_path / "store/alexnet/1"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of other identities."""
    out = tmp_path_factory.mktemp("others") / "others"
    synthesize(SynthesizeConfig(out=out, identities=2, sessions=3, shots=2, prefix="q"))
    return out


def write_settings(folder: Path, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"net": "vgg16", **settings}))
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "paper"}, r"paper's head, which gives no embedding.*--head embedding"),
        ({"split": "identity"}, r"split by identity.*--split session or seed"),
        ({}, r"final\.weights\.h5 is missing, so the training has not ended: run its command"),
        ({"command": "pretrain"}, r"final\.weights\.h5 is missing"),
        ({"net": None, "nets": ["alexnet", "vgg16"]}, r"is the run of \['alexnet', 'vgg16'\]"),
    ],
)
def test_a_run_that_cannot_serve_is_refused(
    settings: dict[str, Any], message: str, config: ExportConfig, tmp_path: Path
) -> None:
    run = write_settings(tmp_path / "run", **settings)
    if "nets" in settings:
        (run / "config.json").write_text(json.dumps({"nets": settings["nets"]}))
    with pytest.raises(ValueError, match=message):
        export(replace(config, run=run))
    assert not config.store.exists()


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data", str(database), "--strangers", str(database)]
    assert main(["export", "--run", str(tmp_path), *places]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"export: {tmp_path} holds neither config.json nor manifest.json: ")


def test_a_database_is_read_and_split_as_in_the_training(tmp_path: Path) -> None:
    reading = {
        "layout": "casia",
        "classes": "person",
        "size_px": 96,
        "split": "seed",
        "roi": "auto",
    }
    run = {"net": "vgg16", "data": "/elsewhere", "bands": [940], "split_seed": 7, **reading}
    options = Source(tmp_path, run).reading_options(tmp_path / "moved", tmp_path)
    assert {name: getattr(options, name) for name in reading} == reading
    assert (options.data, options.bands, options.split_seed) == (tmp_path / "moved", (940,), 7)


def test_a_database_that_changed_since_the_training_is_refused(
    config: ExportConfig, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(config.data, tmp_path / "changed"))
    shutil.copyfile(changed / "p001/s1/01.png", changed / "p001/s1/99.png")
    message = f"{changed} is not the database that {config.run} was trained on: .*--data"
    with pytest.raises(ValueError, match=message):
        export(replace(config, data=changed))
    assert not config.store.exists()


def test_a_run_that_names_no_digest_takes_any_database(tmp_path: Path) -> None:
    Source(tmp_path, {"net": "vgg16"}).require_same_data("0" * 64, tmp_path)


def test_a_version_that_was_trained_on_a_database_takes_no_other(
    version: Path, others: Path, config: ExportConfig
) -> None:
    with pytest.raises(ValueError, match=r"others is not the database that .*alexnet/1 was"):
        export(replace(config, run=version, data=others))


def test_a_version_is_exported_again_with_the_same_calibration(
    version: Path, config: ExportConfig
) -> None:
    verdict = export(replace(config, run=version))
    assert verdict.path == config.store / "alexnet/2"
    assert "takes effect when `fuse` has written fusion.json" in verdict.summary
    assert "calibrated for 1 templates and 1 or 2 probe images; the" in verdict.summary
    first, second = (read_manifest(folder) for folder in (version, verdict.path))
    assert second.identities == first.identities
    assert (second.metrics, second.dataset) == (first.metrics, first.dataset)
    assert second.cases == first.cases
    assert second.strangers == first.strangers
    assert second.template_id == first.template_id


def test_a_pretrained_version_is_exported_for_other_identities_and_keeps_its_net(
    version: Path, others: Path, config: ExportConfig, change_manifest: Callable[..., None]
) -> None:
    settings = {"net": "alexnet", "command": "pretrain", "degrade": True}
    change_manifest(version, training=settings)

    export(replace(config, run=version, data=others))

    second = Version.open(config.store / "alexnet/2")
    assert second.identities == ("q001", "q002")
    assert second.manifest.training == settings | {"size_px": 32}
    nets = [Version.open(version).model(), second.model()]
    for layer in nets[0].layers:
        if layer.name != "similarity":
            theirs = nets[1].get_layer(layer.name).get_weights()
            for one, other in zip(layer.get_weights(), theirs, strict=True):
                np.testing.assert_array_equal(one, other)


def test_an_existing_version_is_refused_before_the_work(
    version: Path, config: ExportConfig
) -> None:
    with pytest.raises(FileExistsError, match="cannot be changed: choose another --version"):
        export(replace(config, version=1, data=version / "nowhere"))


def test_a_version_below_1_is_refused(config: ExportConfig) -> None:
    with pytest.raises(ValueError, match="--version must be at least 1, not 0"):
        export(replace(config, version=0))


@pytest.fixture
def bfloat16() -> Iterator[None]:
    """The policy that a training in the same process may leave."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("bfloat16")
def test_a_net_is_loaded_in_float32_after_a_training_in_bfloat16(toy_run: Path) -> None:
    net = Source.open(toy_run).load(4, 32)
    assert {layer.compute_dtype for layer in net.layers if layer.weights} == {"float32"}


def test_decoded_images_are_kept_in_scratch(config: ExportConfig, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OSError, match=f"cannot be kept in {nowhere}.*with --scratch"):
        export(replace(config, scratch=nowhere))


def test_the_fmr_that_the_identities_need_is_measured_in_every_case(toy_store: Path) -> None:
    manifest = read_manifest(toy_store / "alexnet/1")
    assert {(case.mean_map, case.probes) for case in manifest.cases} == {
        (mean_map, probes) for mean_map in (False, True) for probes in (1, 2)
    }
    assert manifest.calibration.lowest_fmr <= FPIR_TARGET / len(manifest.identities)


def test_too_few_strangers_are_refused_with_the_number_needed(
    config: ExportConfig, other_strangers: Path
) -> None:
    with pytest.raises(ValueError, match=r"6 strangers .*: give 56 or more strangers"):
        export(replace(config, strangers=(other_strangers,)))
    with pytest.raises(ValueError, match=r"6 strangers .* too few .*: give 12 or more"):
        export(replace(config, strangers=(*config.strangers, other_strangers)))
    assert not config.store.exists()


def test_the_database_s_own_people_do_not_calibrate(config: ExportConfig) -> None:
    with pytest.raises(ValueError, match=r"is the same image as .* so these are no strangers"):
        export(replace(config, strangers=(config.data,)))
    assert not config.store.exists()


def test_weights_beyond_float16_are_refused(
    toy_run: Path, config: ExportConfig, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(toy_run, tmp_path / "run"))
    net = build_net("alexnet", 4, PRESETS["shipped"], input_px=32)
    net.load_weights(run / "final.weights.h5")
    dense = net.get_layer("dense")
    dense.set_weights([1e7 * dense.get_weights()[0]])
    net.save_weights(run / "final.weights.h5")
    with pytest.raises(ValueError, match=r"dense/kernel cannot be stored in float16, so nothing"):
        export(replace(config, run=run))
    assert not config.store.exists()
