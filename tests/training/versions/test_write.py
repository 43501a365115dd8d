"""A version is written whole and answers as its net does, or it is not written."""

from pathlib import Path

import numpy as np
import pytest

from app.nets.manifest import Manifest
from training.database.palms import Palms, load_palms
from training.versions.read import Version
from training.versions.write import ExportMismatch, fit_prototypes, write_version


@pytest.fixture(scope="module")
def palms(database: Path) -> Palms:
    return load_palms(database, 32)


def test_prototypes_are_the_mean_templates_and_stand_in_the_graph(
    toy_store: Path, palms: Palms
) -> None:
    net = Version.open(toy_store / "alexnet/1").model()
    prototypes = fit_prototypes(net, palms)
    assert prototypes.shape == (4, 2, 5, 256)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=-1), 1, atol=1e-3)
    np.testing.assert_array_equal(net.get_layer("similarity").get_weights()[0], prototypes[:, 0, 0])


def test_weights_beyond_float16_are_refused_and_nothing_is_written(
    toy_store: Path, palms: Palms, tmp_path: Path
) -> None:
    version = Version.open(toy_store / "alexnet/1")
    net = version.model()
    kernel, bias = net.get_layer("conv5").get_weights()
    net.get_layer("conv5").set_weights([1e7 * kernel, bias])
    target = tmp_path / "alexnet/2"
    manifest: Manifest = version.manifest.model_copy(update={"version": 2})
    with pytest.raises(ExportMismatch, match=r"batch 1: cosine .*so nothing was exported"):
        write_version(target, net, manifest, version.prototypes, palms)
    assert list(target.parent.iterdir()) == []


def test_an_existing_version_is_not_replaced(toy_store: Path, palms: Palms, tmp_path: Path) -> None:
    version = Version.open(toy_store / "alexnet/1")
    target = tmp_path / "alexnet/1"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text("precious")
    with pytest.raises(OSError, match="alexnet/1"):
        write_version(target, version.model(), version.manifest, version.prototypes, palms)
    assert [path.name for path in target.parent.iterdir()] == ["1"]
    assert (target / "manifest.json").read_text() == "precious"
