"""Starting points of a pre-training: runs and versions."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.matching.calibration import Case, Threshold
from app.nets.manifest import Dataset, InputSpec, Manifest, Metrics, seal_manifest
from training.fit.start import (
    go_on_from,
    is_version,
    read_settings,
    require_start,
    stage_after,
)
from training.nets.build import build_net, select_outputs
from training.nets.recipe import Recipe


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path.parent


def version(store: Path, **training: Any) -> Path:
    """A version of VGG16 with nothing but a manifest."""
    folder = store / "vgg16" / "2"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        schema_version=6,
        net="vgg16",
        version=2,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        input=InputSpec(height=224, width=224, channels=3, dtype="uint8"),
        embedding_size=256,
        identities=("p1", "p2"),
        map_side=28,
        map_channels=16,
        template_id="0" * 16,
        cases=(Case(False, 1, 1, 0.1, (Threshold(0.5, 0.01, 1000),)),),
        training={"contrast_px": 32, **training},
        dataset=Dataset(
            name="palms", sha256="abc", split="session", split_seed=None, training_images=9
        ),
        metrics=Metrics(validation_accuracy=1, validation_images=9),
        code_revision="unknown",
        libraries={},
    )
    (folder / "manifest.json").write_text(seal_manifest(manifest, folder).as_json())
    return folder


def test_each_pretraining_is_a_stage_after_its_starting_point(tmp_path: Path) -> None:
    assert stage_after(None) == 0
    assert stage_after(write(tmp_path / "config.json", {"nets": ["vgg16"]})) == 1
    assert stage_after(write(tmp_path / "config.json", {"stage": 1})) == 2
    assert stage_after(version(tmp_path, stage=4)) == 5


def test_settings_of_a_run_are_its_own(tmp_path: Path) -> None:
    settings = {"net": "vgg16", "size_px": 96}
    run = write(tmp_path / "config.json", settings)
    assert not is_version(run)
    assert read_settings(run) == settings


def test_settings_of_a_version_tell_its_images_and_unless_pretrained_its_data(
    tmp_path: Path,
) -> None:
    folder = version(tmp_path)
    assert is_version(folder)
    assert read_settings(folder) == {"contrast_px": 32, "size_px": 224, "dataset_sha256": "abc"}
    assert "dataset_sha256" not in read_settings(version(tmp_path, command="pretrain"))


def test_a_folder_without_settings_of_one_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds neither config\.json nor manifest\.json"):
        read_settings(tmp_path)
    several = write(tmp_path / "config.json", {"nets": ["alexnet", "vgg16"]})
    with pytest.raises(ValueError, match=r"is the run of \['alexnet', 'vgg16'\]: give the"):
        read_settings(several)


def test_a_run_must_hold_all_nets(tmp_path: Path) -> None:
    write(tmp_path / "vgg16" / "best.weights.h5", "")
    require_start(tmp_path, ("vgg16",), Recipe())
    with pytest.raises(ValueError, match=r"holds no alexnet/best\.weights\.h5"):
        require_start(tmp_path, ("vgg16", "alexnet"), Recipe())


@pytest.mark.parametrize(
    ("nets", "changes", "message"),
    [
        (("alexnet",), {}, "is a version of one net: give --nets vgg16"),
        (("alexnet", "vgg16"), {}, "is a version of one net: give --nets vgg16"),
        (("vgg16",), {"contrast_px": 64}, "is built with --contrast-px 32, not 64"),
        (("vgg16",), {"embedding_size": 8}, "is built with --embedding-size 256, not 8"),
    ],
)
def test_a_version_must_be_of_the_net_and_built_alike(
    nets: tuple[str, ...], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    recipe = Recipe(**{"contrast_px": 32, **changes})
    require_start(version(tmp_path), ("vgg16",), Recipe(contrast_px=32))
    with pytest.raises(ValueError, match=message):
        require_start(version(tmp_path), nets, recipe)


SMALL = Recipe(contrast_px=32)


def mapped(net: keras.Model) -> np.ndarray:
    """The channels of one head for noise, whose variance a fit makes 1."""
    images = np.random.default_rng(1).integers(60, 120, (4, 32, 32, 1)).repeat(3, axis=-1)
    head = keras.Model(net.input, net.get_layer("map_local").output)
    return np.asarray(head(images.astype(np.uint8), training=False))


class Noise(keras.utils.PyDataset):
    """Two batches of noise."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        grey = np.random.default_rng(index).integers(60, 120, (8, 32, 32, 1))
        return grey.repeat(3, axis=-1).astype(np.uint8), np.arange(8, dtype=np.int32)


def test_a_start_keeps_its_map_head(tmp_path: Path) -> None:
    older = build_net("vgg16", 2, SMALL, input_px=32)
    start = write(tmp_path / "config.json", {"nets": ["vgg16"], "map_channels": 16})
    (start / "vgg16").mkdir()
    select_outputs(older, "embedding", "map").save_weights(start / "vgg16/best.weights.h5")
    net = build_net("vgg16", 1, SMALL, input_px=32)
    go_on_from(start, {"vgg16": net}, None, resumed=False)
    np.testing.assert_allclose(mapped(net), mapped(older), atol=1e-5)
