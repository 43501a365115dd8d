"""What export and evaluate refuse; what they write is in tests/contract."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import training.commands.export
import training.versions.saved_model
from training.__main__ import main
from training.commands.export import ExportConfig, _options_of, export
from training.commands.synthesize import SynthesizeConfig, synthesize
from training.database.palms import Palms, load_palms
from training.database.split import split_palms
from training.nets.build import build_net, scoring_model
from training.nets.recipe import PRESETS
from training.versions.read import _require_same_split
from training.versions.shipped import load_shipped


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "paper"}, "paper's head, which gives no embedding.*--head embedding"),
        ({"split": "identity"}, "split by identity.*--split session or seed"),
    ],
)
def test_run_that_cannot_serve_is_refused(
    settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"net": "vgg16", **settings}))
    with pytest.raises(ValueError, match=message):
        export(ExportConfig(run=tmp_path, data=tmp_path, strangers=tmp_path))


def test_export_reads_and_splits_as_the_training_did(tmp_path: Path) -> None:
    config = ExportConfig(run=tmp_path, data=tmp_path / "moved", strangers=tmp_path)
    reading = {"layout": "casia", "classes": "person", "size_px": 96, "split": "seed"}
    run = {"net": "vgg16", "data": "/elsewhere", "bands": [940], "split_seed": 7, **reading}
    options = _options_of(run, config)
    assert {name: getattr(options, name) for name in reading} == reading
    assert (options.data, options.bands, options.split_seed) == (tmp_path / "moved", (940,), 7)
    assert _options_of({"net": "vgg16"}, config).split == "auto"  # a run of an earlier version


def artefact(**dataset: Any) -> Any:
    return SimpleNamespace(key="vgg16/1", dataset=dataset)


def test_a_net_is_not_judged_on_its_training_images(make_palms: Callable[..., Palms]) -> None:
    palms = make_palms(4, sessions=3, shots=10)
    by_session, by_seed = (split_palms(palms, by=by, seed=5) for by in ("session", "seed"))
    trained = {"sha256": palms.sha256, "split": "seed", "split_seed": 5}
    _require_same_split(artefact(**trained), by_seed)
    of_more = artefact(sha256="of more images", split="session", split_seed=None)
    _require_same_split(of_more, by_session)
    with pytest.raises(
        ValueError, match=r"vgg16/1 .* by seed, seed 5, and this is one by session:"
    ):
        _require_same_split(artefact(**trained), by_session)
    with pytest.raises(ValueError, match=r"by seed, seed 6, and .* by seed, seed 5:"):
        _require_same_split(artefact(**{**trained, "split_seed": 6}), by_seed)
    with pytest.raises(ValueError, match="trained on other images"):
        _require_same_split(
            artefact(**trained), replace(by_seed, test=replace(by_seed.test, sha256=""))
        )


@pytest.fixture(scope="module")
def run(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run split by seed, as `train` leaves it; what its net learned does not matter here."""
    folder = tmp_path_factory.mktemp("export") / "run"
    folder.mkdir()
    net = scoring_model(build_net("alexnet", 4, PRESETS["shipped"], input_px=32))
    net.save_weights(folder / "best.weights.h5")
    settings = {"net": "alexnet", "data": str(database), "size_px": 32, "split": "seed"}
    digest = load_palms(database, 32).sha256
    (folder / "config.json").write_text(json.dumps({**settings, "dataset_sha256": digest}))
    return folder


def test_a_database_that_changed_since_the_training_is_refused(
    run: Path, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = Path(shutil.copytree(database, tmp_path / "changed"))
    shutil.copyfile(changed / "p001/s1/01.png", changed / "p001/s1/99.png")
    places = ["--strangers", str(database), "--store", str(tmp_path / "store")]
    command = ["export", "--run", str(run), *places, "--data"]
    assert main([*command, str(changed)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"export: {changed} is not what {run} was trained on: ")
    assert error.endswith("give the --data of the training as it was, or train again")
    assert not (tmp_path / "store").exists()
    assert main([*command, str(database)]) == 0


def test_a_run_of_an_earlier_version_does_not_say_what_it_was_trained_on(
    run: Path, database: Path, tmp_path: Path
) -> None:
    earlier = Path(shutil.copytree(run, tmp_path / "run"))
    settings = json.loads((run / "config.json").read_text())
    del settings["dataset_sha256"]
    (earlier / "config.json").write_text(json.dumps(settings))
    config = ExportConfig(earlier, database, database, store=tmp_path / "store")
    assert (export(config) / "manifest.json").exists()


def test_a_version_that_learned_from_a_database_knows_no_other(
    run: Path, database: Path, tmp_path: Path
) -> None:
    config = ExportConfig(run, database, database, store=tmp_path / "store")
    first = export(config)
    manifest = json.loads((first / "manifest.json").read_text())
    del manifest["training"]["dataset_sha256"]  # as runs of an earlier release
    (first / "manifest.json").write_text(json.dumps(manifest))
    others = tmp_path / "others"
    synthesize(SynthesizeConfig(out=others, identities=2, sessions=3, shots=2, prefix="q"))
    with pytest.raises(ValueError, match=r"others is not what .*store/alexnet/1 was trained on"):
        export(replace(config, run=first, data=others))

    again = json.loads((export(replace(config, run=first)) / "manifest.json").read_text())

    for what in ("identities", "metrics", "dataset"):
        assert again[what] == manifest[what]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "holds neither config.json nor manifest.json: give the folder of a net's run, or"),
        ({"nets": ["alexnet", "vgg16"]}, "is the run of ['alexnet', 'vgg16']: give a net's folder"),
    ],
)
def test_a_folder_that_is_no_net_s_is_one_line(
    config: dict[str, Any] | None,
    message: str,
    database: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    places = ["--data", str(database), "--strangers", str(database)]
    assert main(["export", "--run", str(tmp_path), *places]) == 2
    assert f"{tmp_path} {message}" in capsys.readouterr().err.splitlines()[-1]


def test_a_version_whose_weights_were_changed_is_refused(
    run: Path, database: Path, tmp_path: Path
) -> None:
    config = ExportConfig(run, database, database, store=tmp_path / "store")
    first = export(config)
    path = first / "variables/variables.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"variables\.data.* is not what was exported: restore"):
        export(replace(config, run=first))


def test_a_version_gets_to_know_other_identities_and_keeps_its_net(
    run: Path, database: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    settings = {"net": "alexnet", "command": "pretrain"}
    config = ExportConfig(run, database, database, store=store)
    first = export(config)
    manifest = json.loads((first / "manifest.json").read_text())
    (first / "manifest.json").write_text(json.dumps(manifest | {"training": settings}))
    others = tmp_path / "others"
    synthesize(SynthesizeConfig(out=others, identities=2, sessions=3, shots=2, prefix="q"))

    second = export(replace(config, run=first, data=others))

    found = json.loads((second / "manifest.json").read_text())
    assert found["identities"] == ["q001", "q002"]
    assert (found["version"], found["training"]) == (2, settings | {"size_px": 32})
    nets = [load_shipped(folder).model for folder in (first, second)]
    for layer in nets[0].layers:
        if layer.name != "similarity":
            theirs = nets[1].get_layer(layer.name).get_weights()
            for one, other in zip(layer.get_weights(), theirs, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_export_that_is_stopped_leaves_nothing(
    stop: type[BaseException],
    run: Path,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(folder: Path) -> dict[str, str]:
        assert (folder / "saved_model.pb").exists()
        raise stop

    monkeypatch.setattr(training.commands.export, "_checksums", stopped)
    with pytest.raises(stop):
        export(ExportConfig(run, database, database, store=tmp_path / "store"))
    assert list((tmp_path / "store" / "alexnet").iterdir()) == []


def test_an_artefact_that_answers_otherwise_is_one_line_and_exit_code_2(
    run: Path,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        training.versions.saved_model, "_as_stored", lambda weight: np.zeros_like(weight)
    )
    places = ["--data", str(database), "--strangers", str(database), "--store", str(tmp_path / "s")]
    assert main(["export", "--run", str(run), *places]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("export: batch 1: cosine ")


@pytest.fixture
def bfloat16() -> Iterator[None]:
    """As after a training in the same process."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("bfloat16")
def test_export_computes_in_float32_whatever_the_training_did(run: Path) -> None:
    net = training.commands.export._load_folded(
        json.loads((run / "config.json").read_text()), 4, 32, run
    )
    assert {layer.compute_dtype for layer in net.layers if layer.weights} == {"float32"}


def test_export_keeps_decoded_images_where_it_is_told(
    run: Path, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data", str(database), "--strangers", str(database), "--store", str(tmp_path)]
    nowhere = str(tmp_path / "nowhere")
    assert main(["export", "--run", str(run), *places, "--scratch", nowhere]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"cannot be kept in {nowhere}" in error
    assert error.endswith("name another folder with --scratch")
