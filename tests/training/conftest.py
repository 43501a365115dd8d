"""Toys that the tests of several folders share: palms without files, runs and versions."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.nets.manifest import Manifest, seal_manifest
from tests.training.toy_palms import make_palms
from training.__main__ import main
from training.commands.export import ExportConfig, export
from training.database.palms import Palms, load_palms
from training.nets.build import build_net
from training.nets.recipe import PRESETS
from training.versions.fuse import fusion_entry, write_fusions
from training.versions.read import Version


@pytest.fixture(scope="session", name="make_palms")
def palm_maker() -> Callable[..., Palms]:
    """Returns `make_palms`."""
    return make_palms


@contextmanager
def uncompiled() -> Iterator[None]:
    """Runs a few steps without compiling them, which would take most of their time."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture
def eager() -> Iterator[None]:
    """Runs a test `uncompiled`; fixtures of a wider scope, such as `pretrained`, are compiled."""
    with uncompiled():
        yield


TOY = ["--monitor", "4", "--precision", "float32"]
PRETRAIN = ["pretrain", "--nets", "alexnet", "--identities", "8", "--batch-size", "8",
            "--contrast-px", "32", *TOY]  # fmt: skip
"""The smallest pre-training. Options that follow override these."""


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of an AlexNet that was pre-trained for two epochs."""
    out = tmp_path_factory.mktemp("pretrain") / "run"
    assert main([*PRETRAIN, "--epochs", "2", "--out", str(out)]) == 0
    return out / "alexnet"


def export_of(run: Path, database: Path, strangers: Path, store: Path) -> list[str]:
    """Returns the command that exports a run."""
    places = ["--data", str(database), "--strangers", str(strangers), "--store", str(store)]
    return ["export", "--run", str(run), *places]


@pytest.fixture(scope="session")
def exported(
    pretrained: Path, database: Path, strangers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Returns a store with that AlexNet as version 1, exported for the database's identities."""
    store = tmp_path_factory.mktemp("store")
    assert main(export_of(pretrained, database, strangers, store)) == 0
    return store


TOY_PX = 32


@pytest.fixture(scope="session")
def toy_run(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a run of `train` at 32 px, split by seed; its AlexNet is untrained."""
    folder = tmp_path_factory.mktemp("toy") / "run"
    folder.mkdir()
    net = build_net("alexnet", 4, PRESETS["shipped"], input_px=TOY_PX)
    net.save_weights(folder / "final.weights.h5")
    settings = {"net": "alexnet", "data": str(database), "size_px": TOY_PX, "split": "seed"}
    digest = load_palms(database, TOY_PX).sha256
    (folder / "config.json").write_text(json.dumps({**settings, "dataset_sha256": digest}))
    return folder


@pytest.fixture(scope="session")
def change_manifest() -> Callable[..., None]:
    """Returns a function that changes fields of a version's manifest, and its checksums."""

    def change(folder: Path, **fields: Any) -> None:
        path = folder / "manifest.json"
        manifest = Manifest.model_validate_json(path.read_text()).model_copy(update=fields)
        path.write_text(seal_manifest(manifest, folder).as_json())

    return change


@pytest.fixture(scope="session")
def toy_store(
    toy_run: Path,
    database: Path,
    strangers: Path,
    change_manifest: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Returns a store with the net of `toy_run` as alexnet/1 and as vgg16/1, and their fusion."""
    store = tmp_path_factory.mktemp("toy") / "store"
    export(ExportConfig(run=toy_run, data=database, strangers=(strangers,), store=store))
    shutil.copytree(store / "alexnet", store / "vgg16")
    change_manifest(store / "vgg16/1", net="vgg16")
    versions = [Version.open(store / net / "1") for net in ("alexnet", "vgg16")]
    keys = [version.key for version in versions]
    manifest = versions[0].manifest
    entry = fusion_entry(keys, (0.75, 0.25), manifest.cases, manifest.strangers)
    write_fusions(store, [entry])
    return store
