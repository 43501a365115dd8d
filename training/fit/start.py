"""Starting points for training: a run (before its whitening) or an exported version."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from app.nets.manifest import MANIFEST, read_manifest
from training.fit.batches import Dataset
from training.fit.checkpoint import BEST, load_best
from training.fit.map_fit import fit_map, images_of
from training.fit.prototypes import set_synthetic_prototypes
from training.fit.settings import CONFIG
from training.nets.build import build_net, embedding_model, freeze_norms, select_outputs
from training.nets.recipe import Recipe, recipe_of
from training.versions.read import Version, copy_body

BUILT = ("filters", "normalization", "input", "contrast_px", "embedding_size", "map_channels")
"""Fields of a recipe that determine a net's weights and the input of its first convolution."""


def is_version(start: Path) -> bool:
    """Returns whether a folder is that of a version, such as models_store/vgg16/2."""
    return (start / MANIFEST).exists()


def require_start(start: Path, nets: tuple[str, ...], recipe: Recipe) -> None:
    """Checks that a starting point fits the nets.

    Raises:
        ValueError: if a net is missing there, or a version is of another net or another recipe.
    """
    if not is_version(start):
        for net in nets:
            if not (start / net / BEST).exists():
                raise ValueError(
                    f"--from {start} holds no {net}/{BEST}: name the folder of a run, or of a "
                    "version"
                )
        return
    manifest = read_manifest(start)
    if nets != (manifest.net,):
        raise ValueError(f"--from {start} is a version of one net: give --nets {manifest.net}")
    built = recipe_of(manifest.training)
    # A version without a map head gets one with any number of channels.
    fixed = BUILT if has_map(start) else [name for name in BUILT if name != "map_channels"]
    for name in fixed:
        value = getattr(built, name)
        if value != getattr(recipe, name):
            option = name.replace("_", "-")
            raise ValueError(
                f"--from {start} is built with --{option} {value}, not {getattr(recipe, name)}"
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """Returns the settings that a net's run or a version was trained with.

    For a version, `size_px` is the side of its input images. Unless it was pre-trained, the digest
    of its database is included: another split of that database might test the net on its training
    images.

    Raises:
        FileNotFoundError: if the folder is neither a run nor a version.
        ValueError: if it is a run of several nets.
    """
    if is_version(folder):
        manifest = read_manifest(folder)
        settings = {**manifest.training, "size_px": manifest.input.height}
        if settings.get("command") != "pretrain":
            settings.setdefault("dataset_sha256", manifest.dataset.sha256)
        return settings
    if not (folder / CONFIG).exists():
        raise FileNotFoundError(
            f"{folder} holds neither {CONFIG} nor {MANIFEST}: give the folder of one net's run or "
            "of a version, such as models_store/vgg16/2"
        )
    settings = json.loads((folder / CONFIG).read_text())
    if "net" not in settings:
        raise ValueError(
            f"{folder} is the run of {settings.get('nets')}: give the folder of one net in it"
        )
    return settings


def stage_after(start: Path | None) -> int:
    """Returns the number of pre-trainings up to a starting point; each draws other images."""
    if start is None:
        return 0
    if is_version(start):
        return read_manifest(start).training.get("stage", 0) + 1
    return json.loads((start / CONFIG).read_text()).get("stage", 0) + 1


def go_on_from(
    start: Path,
    nets: Mapping[str, keras.Model],
    drawn: Dataset,
    *,
    prototypes: bool,
    resumed: bool,
) -> None:
    """Sets the weights of nets to those of a starting point.

    Args:
        start: folder of a run of these nets, or of a version of one net.
        nets: the nets by name, with an embedding head and a map head.
        drawn: batches of all identities. The map head is fitted to them if the starting point has
            none.
        prototypes: whether the mean templates of `drawn` become the prototypes; otherwise they
            stay random.
        resumed: whether the run resumes; then its own weights are loaded later, and none here.
    """
    if is_version(start):
        for net in nets.values():
            freeze_norms(net)  # whitening removed their statistics
    if resumed:
        return
    load_start(start, nets)
    if not has_map(start):
        for net in nets.values():
            fit_map(net, images_of(drawn))
    if prototypes:
        set_synthetic_prototypes(nets, drawn)


def has_map(start: Path) -> bool:
    """Returns whether the nets of a run or a version have a map head; older ones have none."""
    if is_version(start):
        return "map_channels" in read_manifest(start).training
    return "map_channels" in json.loads((start / CONFIG).read_text())


def load_start(start: Path, nets: Mapping[str, keras.Model]) -> None:
    """Sets all weights of nets except the prototypes, and except a map head that `start` lacks.

    Args:
        start: folder of a run of these nets, or of a version of one net.
        nets: the nets by name, with an embedding head and a map head.
    """
    with_map = has_map(start)
    for name, net in nets.items():
        if is_version(start):
            copy_body(version_net(Version.open(start)), net)
        elif with_map:
            load_best(select_outputs(net, "embedding", "map"), start / name)
        else:
            load_best(embedding_model(net), start / name)


def version_net(
    version: Version, side_px: int | None = None, identities: int | None = None
) -> keras.Model:
    """Builds a version's net as `Version.model` does; if it has no map head, with a random one."""
    if has_map(version.folder):
        return version.model(side_px, identities)
    training = {**version.manifest.training, "map_channels": 0}
    older = replace(version, manifest=version.manifest.model_copy(update={"training": training}))
    bare = older.model(side_px, identities)
    images: Any = bare.input
    count = bare.get_layer("similarity").identities
    net = build_net(bare.name, count, version.recipe, input_px=images.shape[1], folded=True)
    for layer in bare.layers:
        net.get_layer(layer.name).set_weights(layer.get_weights())
    return net
