"""A version on disk: what it says, how it compares palms, and which versions fit a split."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.nets.files import NetCorrupt, NetMissing
from training.database.palms import Palms, SplitKind, load_palms
from training.database.split import Split, split_palms
from training.nets.build import build_net
from training.versions.compare import compare_maps
from training.versions.read import Version, copy_body, open_highest, open_highest_of_split

SIZE_PX = 32


@pytest.fixture(scope="module")
def palms(database: Path) -> Palms:
    return load_palms(database, SIZE_PX)


@pytest.fixture(scope="module")
def version(toy_store: Path) -> Version:
    return Version.open(toy_store / "alexnet/1")


def test_a_version_has_what_its_manifest_says(version: Version, palms: Palms) -> None:
    assert str(version.key) == "alexnet/1"
    assert version.identities == palms.identities
    assert version.input_px == SIZE_PX
    assert (version.dataset.sha256, version.dataset.split) == (palms.sha256, "seed")
    assert version.recipe.normalization == "weight"
    assert version.calibration.lowest_fmr == 1e-3


def test_a_missing_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match="vgg16/3 is missing"):
        Version.open(tmp_path / "vgg16/3")


def test_a_changed_file_is_refused(toy_store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(toy_store / "alexnet/1", tmp_path / "alexnet/1"))
    path = copy / "variables/variables.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(NetCorrupt, match=r"variables\.data.* has SHA-256 .*: restore"):
        Version.open(copy)


def test_maps_are_compared_with_the_trained_identities_templates(
    version: Version, palms: Palms
) -> None:
    maps = version.maps(palms)
    assert len(maps) == len(palms)
    assert maps.shape == version.manifest.map_format.shape
    assert version.trained.counts.tolist() == [3] * 4
    found = version.scores(palms)
    assert found.shape == (len(palms), 4)
    every = compare_maps(maps, version.trained.maps, None, "toy")
    for identity in range(4):
        own = every[:, version.trained.owners == identity]
        np.testing.assert_array_equal(found[:, identity], own.max(axis=1))


def test_embeddings_have_unit_length(version: Version, palms: Palms) -> None:
    _, found = version.run(palms)
    assert found.shape == (len(palms), 256)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_keras_net_answers_as_the_saved_model(version: Version) -> None:
    with np.load(version.folder / "golden.npz") as golden:
        expected = dict(golden)
    found = version.model()(expected["images"], training=False)
    for name in ("map", "mask", "embedding", "similarity"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_with_other_identities_only_the_prototypes_differ(version: Version) -> None:
    own, other = version.model(), version.model(identities=7)
    assert other.get_layer("similarity").get_weights()[0].shape == (7, 256)
    for layer in own.layers:
        if layer.name != "similarity":
            theirs = other.get_layer(layer.name).get_weights()
            for one, two in zip(layer.get_weights(), theirs, strict=True):
                np.testing.assert_array_equal(one, two)


def test_a_trainable_net_with_the_body_has_the_same_embeddings_and_maps(
    version: Version, palms: Palms
) -> None:
    images = np.repeat(palms.images(slice(4))[..., None], 3, axis=-1)
    source = version.model(identities=2)
    target = build_net("alexnet", 2, version.recipe, input_px=SIZE_PX)
    copy_body(source, target)
    found, expected = (net(images, training=False) for net in (target, source))
    np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-3)
    np.testing.assert_allclose(found["map"], expected["map"], atol=2e-2)


def test_a_version_of_an_earlier_release_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "vgg16/8"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"schema_version": 3, "net": "vgg16"}')
    with pytest.raises(NetCorrupt, match=r"schema_version 3, of an earlier .*train the net with"):
        Version.open(folder)


def test_weights_of_another_net_are_refused(
    toy_store: Path, change_manifest: Callable[..., None], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(toy_store / "alexnet/1", tmp_path / "alexnet/1"))
    change_manifest(copy, training={"embedding_size": 128})
    with pytest.raises(NetCorrupt, match=r"not those of the net in its manifest: .*export"):
        Version.open(copy).model()


def test_the_highest_version_is_opened(
    toy_store: Path, change_manifest: Callable[..., None], tmp_path: Path
) -> None:
    for version in (9, 10):
        copy = tmp_path / "alexnet" / str(version)
        shutil.copytree(toy_store / "alexnet/1", copy)
        change_manifest(copy, version=version)
    assert [str(one.key) for one in open_highest(tmp_path, ["alexnet"], SIZE_PX)] == ["alexnet/10"]


@pytest.mark.parametrize(
    ("nets", "size_px", "message"),
    [
        (["vgg19"], 32, "holds no version of vgg19"),
        (["alexnet", "vgg16", "alexnet"], 32, "--nets names alexnet twice"),
        (["alexnet"], 48, "alexnet/1 takes images of 32 px, not of 48 px: give --size-px 32"),
    ],
)
def test_nets_that_cannot_be_opened_are_refused(
    nets: list[str], size_px: int, message: str, toy_store: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        open_highest(toy_store, nets, size_px)


def other_images(split: Split) -> Split:
    return replace(split, test=replace(split.test, sha256="0" * 64))


def other_identities(split: Split) -> Split:
    return replace(split, test=replace(split.test, identities=("q1", "q2", "q3", "q4")))


def test_a_net_fits_the_split_that_it_was_trained_on(toy_store: Path, palms: Palms) -> None:
    split = split_palms(palms, by="seed", seed=1)
    (version,) = open_highest_of_split(toy_store, ["alexnet"], split)
    assert str(version.key) == "alexnet/1"


@pytest.mark.parametrize(
    ("by", "seed", "change", "message"),
    [
        ("session", 1, None, "alexnet/1 .* by seed, seed 1, and this split is by session, so"),
        ("seed", 6, None, "by seed, seed 1, and this split is by seed, seed 6, so .*--split-seed"),
        ("seed", 1, other_images, "alexnet/1 was trained on another database"),
        ("seed", 1, other_identities, "alexnet/1 was trained on other identities"),
    ],
)
def test_a_net_is_not_tested_on_its_training_images(
    by: SplitKind,
    seed: int,
    change: Callable[[Split], Split] | None,
    message: str,
    toy_store: Path,
    palms: Palms,
) -> None:
    split = split_palms(palms, by=by, seed=seed)
    with pytest.raises(ValueError, match=message):
        open_highest_of_split(toy_store, ["alexnet"], change(split) if change else split)


def test_a_split_by_session_needs_no_equal_digest(
    toy_store: Path, palms: Palms, change_manifest: Callable[..., None], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(toy_store / "alexnet/1", tmp_path / "alexnet/1"))
    version = Version.open(copy)
    dataset = version.dataset.model_copy(update={"split": "session", "split_seed": None})
    change_manifest(copy, dataset=dataset)
    split = other_images(split_palms(palms, by="session"))
    assert open_highest_of_split(tmp_path, ["alexnet"], split)
