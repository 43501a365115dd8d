"""Starting points for training: a run (before its whitening) or an exported version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from app.nets.manifest import MANIFEST, read_manifest
from training.fit.batches import Dataset
from training.fit.checkpoint import BEST, load_best
from training.fit.prototypes import set_synthetic_prototypes
from training.fit.settings import CONFIG
from training.nets.build import freeze_norms, select_outputs
from training.nets.recipe import Recipe, recipe_of
from training.versions.read import Version, copy_body

BUILT = ("filters", "normalization", "input", "contrast_px", "embedding_size", "map_channels")
"""Fields of a recipe that determine a net's weights and the input of its first convolution."""


def is_version(start: Path) -> bool:
    """Returns whether a folder is that of a version, such as models_store/vgg16/12."""
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
    for name in BUILT:
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
            "of a version, such as models_store/vgg16/12"
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
    templates_from: Dataset | None,
    *,
    resumed: bool,
) -> None:
    """Sets the weights of nets to those of a starting point.

    Args:
        start: folder of a run of these nets, or of a version of one net.
        nets: the nets by name, with an embedding head and a map head.
        templates_from: batches of all identities, whose mean templates become the prototypes; None
            leaves the prototypes random.
        resumed: whether the run resumes; then its own weights are loaded later, and none here.
    """
    if is_version(start):
        for net in nets.values():
            freeze_norms(net)  # whitening removed their statistics
    if resumed:
        return
    load_start(start, nets)
    if templates_from is not None:
        set_synthetic_prototypes(nets, templates_from)


def load_start(start: Path, nets: Mapping[str, keras.Model]) -> None:
    """Sets all weights of nets except the prototypes.

    Args:
        start: folder of a run of these nets, or of a version of one net.
        nets: the nets by name, with an embedding head and a map head.
    """
    for name, net in nets.items():
        if is_version(start):
            copy_body(Version.open(start).model(), net)
        else:
            load_best(select_outputs(net, "embedding", "map"), start / name)
