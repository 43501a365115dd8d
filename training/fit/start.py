"""What there is to go on from: a run, as it was before its whitening, or a shipped version."""

import json
from pathlib import Path
from typing import Any

import keras

from training.fit.checkpoint import BEST, load_best
from training.nets.build import embedding_model
from training.nets.recipe import Recipe, recipe_of

CONFIG = "config.json"
MANIFEST = "manifest.json"

BUILT = ("filters", "normalization", "input", "contrast_px", "embedding_size")
"""What of a recipe says which weights a net has, and what they see."""


def is_version(start: Path) -> bool:
    """Whether a folder is a version's, such as models_store/vgg16/2."""
    return (start / MANIFEST).exists()


def require_start(start: Path, nets: tuple[str, ...], recipe: Recipe) -> None:
    """Whether these nets can go on from there.

    Raises:
        ValueError: if a net is missing there, or a version is of another net or built otherwise.
    """
    if not is_version(start):
        for net in nets:
            if not (start / net / BEST).exists():
                raise ValueError(
                    f"--from {start} holds no {net}/{BEST}: name the folder of a run, or of a "
                    "version"
                )
        return
    manifest = json.loads((start / MANIFEST).read_text())
    if nets != (manifest["net"],):
        raise ValueError(f"--from {start} is a version of one net: give --nets {manifest['net']}")
    theirs = recipe_of(manifest["training"])
    for name in BUILT:
        value = getattr(theirs, name)
        if value != getattr(recipe, name):
            option = name.replace("_", "-")
            raise ValueError(
                f"--from {start} is built with --{option} {value}, not {getattr(recipe, name)}"
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """What the training of a run or of a version was told.

    A version adds the side of its images and, unless it was pre-trained, what it knows: any other
    split of those images would judge it on some that it learned from.

    Raises:
        FileNotFoundError: if the folder is neither.
        ValueError: if it is the folder of several nets.
    """
    if is_version(folder):
        manifest = json.loads((folder / MANIFEST).read_text())
        settings = {**manifest["training"], "size_px": manifest["input"]["height"]}
        if settings.get("command") != "pretrain":
            settings.setdefault("dataset_sha256", manifest["dataset"]["sha256"])
        return settings
    if not (folder / CONFIG).exists():
        raise FileNotFoundError(
            f"{folder} holds neither {CONFIG} nor {MANIFEST}: give the folder of a net's run, or "
            "of a version, such as models_store/vgg16/2"
        )
    settings = json.loads((folder / CONFIG).read_text())
    if "net" not in settings:
        raise ValueError(
            f"{folder} is the run of {settings.get('nets')}: give a net's folder in it"
        )
    return settings


def stage_after(start: Path | None) -> int:
    """How many runs are behind one that goes on from there: each has images of its own."""
    if start is None:
        return 0
    settings: dict[str, Any] = (
        json.loads((start / MANIFEST).read_text())["training"]
        if is_version(start)
        else json.loads((start / CONFIG).read_text())
    )
    return settings.get("stage", 0) + 1


def load_start(start: Path, nets: dict[str, keras.Model]) -> None:
    """Sets all weights but the prototypes."""
    for name, net in nets.items():
        if is_version(start):
            # Needs TensorFlow, which a training on JAX does without.
            from training.versions.shipped import copy_body, load_shipped

            copy_body(load_shipped(start).model, net)
        else:
            load_best(embedding_model(net), start / name)
