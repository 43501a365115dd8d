"""An exported net as Keras has it: to be trained on, on a user's own palms."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.nets.build import build_net
from training.nets.layers import ScaledConv2D
from training.nets.recipe import Recipe, recipe_of


@dataclass(frozen=True, slots=True)
class Shipped:
    """A version of a net, folded: its convolutions are plain.

    Attributes:
        model: from uint8 [B, S, S, 3] to embedding and similarity, in float32.
        recipe: how it was built.
        key: net and version, such as "vgg16/2".
        input_px: side of the images that the version takes.
    """

    model: keras.Model
    recipe: Recipe
    key: str
    input_px: int


def load_shipped(folder: Path) -> Shipped:
    """Rebuilds a net from `<store>/<net>/<version>`.

    Raises:
        FileNotFoundError: if there is no such version.
        ValueError: if a file is not the one that was exported, or its weights are not those of the
            net that its manifest describes.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: give the folder of a version, such as models_store/vgg16/2"
        )
    manifest: dict[str, Any] = json.loads(path.read_text())
    for name, digest in manifest["files"].items():
        if sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not what was exported: restore the whole folder")
    recipe, input_px = recipe_of(manifest["training"]), manifest["input"]["height"]
    identities = len(manifest["identities"])
    model = build_net(manifest["net"], identities, recipe, input_px=input_px, folded=True)
    own = model.trainable_variables + model.non_trainable_variables
    stored = tf.saved_model.load(str(folder)).weights
    if [tuple(w.shape) for w in own] != [tuple(w.shape) for w in stored]:
        raise ValueError(
            f"{folder} holds other weights than its manifest describes: it was exported by another "
            "version of this package, so train and export it again"
        )
    for weight, value in zip(own, stored, strict=True):
        weight.assign(np.asarray(value, np.float32).astype(weight.dtype))
    return Shipped(model, recipe, f"{manifest['net']}/{manifest['version']}", input_px)


def at_side(shipped: Shipped, side_px: int, identities: int) -> keras.Model:
    """The same net for smaller images, which are not shrunk, and with room for other identities.

    Only its prototypes are not copied.
    """
    net = shipped.model.name
    model = build_net(net, identities, shipped.recipe, input_px=side_px, folded=True)
    copy_body(shipped.model, model)
    return model


def copy_body(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights of a folded net but its prototypes, to another or to a trainable one."""
    for layer in target.layers:
        weights = source.get_layer(layer.name).get_weights()
        if isinstance(layer, ScaledConv2D):
            layer.set_folded_weights(weights)
        elif layer.name != "similarity":
            layer.set_weights(weights)
