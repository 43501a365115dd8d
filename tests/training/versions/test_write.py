"""A version is written whole and answers as its net does, or it is not written."""

from pathlib import Path

import keras
import numpy as np
import pytest

from app.nets.manifest import Manifest
from training.database.palms import Palms, load_palms
from training.fit.batches import as_colour
from training.versions.read import Version
from training.versions.strangers import Strangers
from training.versions.write import ExportMismatch, golden_pairs, write_version


@pytest.fixture(scope="module")
def version(toy_store: Path) -> Version:
    return Version.open(toy_store / "alexnet/1")


@pytest.fixture(scope="module")
def strangers_palms(strangers: Path) -> Palms:
    return load_palms(strangers, 32)


def test_golden_images_are_pairs_of_one_palm_in_two_sessions(
    strangers_palms: Palms, strangers: Path, version: Version
) -> None:
    pairs = golden_pairs(Strangers.choose(strangers_palms, strangers))
    assert pairs.shape == (8, 32, 32, 3)
    for palm in range(4):
        own = strangers_palms.labels == palm
        for row, session in ((2 * palm, 0), (2 * palm + 1, 1)):
            first = np.flatnonzero(own & (strangers_palms.sessions == session))[:1]
            expected = as_colour(strangers_palms.images(first))[0]
            np.testing.assert_array_equal(pairs[row], expected)
    with np.load(version.folder / "golden.npz") as golden:
        np.testing.assert_array_equal(golden["images"], pairs)
        outputs = {"map", "mask", "embedding", "similarity", "probabilities"}
        assert set(golden) == {"images", *outputs}


def test_probabilities_are_a_softmax_of_the_cosines(version: Version) -> None:
    with np.load(version.folder / "golden.npz") as golden:
        odds = np.exp(golden["similarity"].astype(np.float64) / 0.05)
        expected = odds / odds.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(golden["probabilities"], expected, rtol=1e-3)


def break_a_kernel(net: keras.Model, name: str) -> None:
    layer = net.get_layer(name)
    kernel, bias = layer.get_weights()
    layer.set_weights([1e7 * kernel, bias])


@pytest.mark.parametrize(
    ("layer", "message"),
    [("conv5", "batch 1: .*cosine of embeddings"), ("map_wide", "correlation of maps nan")],
)
def test_weights_beyond_float16_are_refused_and_nothing_is_written(
    layer: str, message: str, version: Version, tmp_path: Path
) -> None:
    net = version.model()
    break_a_kernel(net, layer)
    target = tmp_path / "alexnet/2"
    manifest: Manifest = version.manifest.model_copy(update={"version": 2})
    golden = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(ExportMismatch, match=rf"{message}.*so nothing was exported"):
        write_version(target, net, manifest, version.trained, golden)
    assert list(target.parent.iterdir()) == []


def test_an_existing_version_is_not_replaced(version: Version, tmp_path: Path) -> None:
    target = tmp_path / "alexnet/1"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text("precious")
    golden = np.zeros((8, 32, 32, 3), np.uint8)
    golden[:, ::3] = 90
    with pytest.raises(OSError, match="alexnet/1"):
        write_version(target, version.model(), version.manifest, version.trained, golden)
    assert [path.name for path in target.parent.iterdir()] == ["1"]
    assert (target / "manifest.json").read_text() == "precious"
