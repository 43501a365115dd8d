"""The maps of a net in Keras: their identifier, and the templates of the trained identities."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import STEPS, MapShape, VeinMaps, join_maps
from app.matching.scores import Cohort
from app.matching.templates import TrainedTemplates
from training.database.palms import Palms
from training.fit.batches import as_colour
from training.versions.read import BATCH

TRAINED_TEMPLATES = 3
"""Training images of each identity whose maps are kept to identify it."""

TEMPLATE_STEP = 4
"""Step to which these maps are rounded, a quarter of a deviation; the file is half as large."""


def compute_maps(net: keras.Model, palms: Palms) -> VeinMaps:
    """Returns the vein maps of all images, in order, not scaled yet."""
    outputs = cast(Any, net.output)
    mapper = tf.function(keras.Model(net.input, [outputs["map"], outputs["mask"]]))
    _, side, _, channels = outputs["map"].shape
    parts = [VeinMaps.empty(MapShape(side, channels))]
    with tqdm(total=len(palms), desc=f"{net.name}: maps", unit="image", delay=1) as bar:
        for start in range(0, len(palms), BATCH):
            images = as_colour(palms.images(slice(start, start + BATCH)))
            maps, masks = mapper(tf.constant(images), training=False)
            parts.append(VeinMaps.of(np.asarray(maps), np.asarray(masks)))
            bar.update(len(images))
    return join_maps(parts)


def trained_templates(net: keras.Model, train: Palms) -> TrainedTemplates:
    """Returns the maps of up to `TRAINED_TEMPLATES` training images of each identity.

    They are rounded, and scaled by the first ones.
    """
    chosen = train.select(choose_templates(train))
    trained = TrainedTemplates(chosen.labels, round_maps(compute_maps(net, chosen)))
    return replace(trained, maps=Cohort.of(trained).scaled(trained.maps))


def choose_templates(palms: Palms) -> NDArray[np.bool_]:
    """Marks up to `TRAINED_TEMPLATES` images of each identity.

    They are spread evenly over its images in the order of hands, sessions and shots.
    """
    order = np.lexsort((palms.shots, palms.sessions, palms.hands, palms.labels))
    starts = np.flatnonzero(np.diff(palms.labels[order], prepend=-1))
    marked = np.zeros(len(palms), bool)
    for rows in np.split(order, starts[1:]):
        count = min(TRAINED_TEMPLATES, len(rows))
        marked[rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]] = True
    return marked


def round_maps(maps: VeinMaps) -> VeinMaps:
    """Rounds maps to the middle of steps of `TEMPLATE_STEP`, so that no value changes its sign."""
    middle = maps.values // TEMPLATE_STEP * TEMPLATE_STEP + TEMPLATE_STEP // 2
    return VeinMaps((middle * maps.usable[..., None]).astype(np.int8), maps.usable)


def template_id(net: keras.Model) -> str:
    """Returns the identifier of a net's maps: those of equal identifiers can be compared.

    It is the start of a SHA-256 over all that determines a map: the weights up to the map, as they
    are stored, the constants of this package's own layers, and the map's format. So a net whose
    embedding or identities change keeps its identifier.

    Args:
        net: the folded net.
    """
    images, outputs = cast(Any, net.input), cast(Any, net.output)
    _, side, _, channels = outputs["map"].shape
    digest = sha256(f"{side} {channels} {STEPS} {images.shape[1]}".encode())
    for layer in keras.Model(images, [outputs["map"], outputs["mask"]]).layers:
        own = type(layer).__module__.startswith("training.")
        constants = {
            name: value
            for name, value in (layer.get_config() if own else {}).items()
            if name not in ("name", "trainable", "dtype")
        }
        if layer.weights or own:
            digest.update(f"{layer.name} {json.dumps(constants, sort_keys=True)}".encode())
        for weight in layer.weights:
            stored = np.asarray(as_stored(weight.value))
            digest.update(f"{stored.dtype} {stored.shape}".encode() + stored.tobytes())
    return digest.hexdigest()[:16]


def round_weights(net: keras.Model) -> None:
    """Rounds a net's weights to those that its version stores, so that thresholds are of these.

    Raises:
        ValueError: if a weight is not finite as it is stored.
    """
    for weight in net.weights:
        stored = np.asarray(as_stored(weight.value))
        if not np.isfinite(stored.astype(np.float32)).all():
            raise ValueError(
                f"{net.name}: {weight.path} cannot be stored in {stored.dtype}, so nothing was "
                "exported: check that the run's weights are finite and below 65,504"
            )
        weight.assign(stored.astype(np.float32))


def as_stored(weight: tf.Tensor) -> tf.Tensor:
    """Returns a weight as a version stores it: kernels in float16.

    Variances and random states may not fit into float16.
    """
    return tf.cast(weight, tf.float16) if len(weight.shape) >= 2 else weight
