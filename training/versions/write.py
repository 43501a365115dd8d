"""Writes a version of a net, and checks that its SavedModel has the outputs of the trained net."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from app.palm.views import template_views
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import Calibration
from app.matching.templates import mean_templates
from app.nets.manifest import (
    GOLDEN,
    MANIFEST,
    Dataset,
    InputSpec,
    Manifest,
    Metrics,
    seal_manifest,
)
from training.database.palms import Palms, Pixels
from training.database.split import Split
from training.report.files import replacing
from training.versions.read import Views, embed_palms

MAX_DIFFERENCE = 1e-4
"""Largest allowed 1 - cosine between the trained net's and the SavedModel's embeddings."""

GOLDEN_IMAGES = 3
"""Number of images whose outputs the service recomputes when it starts."""

Float32 = NDArray[np.float32]


class ExportMismatch(ValueError):
    """Raised if a SavedModel's outputs differ from the trained net's; nothing was exported."""


def embed(net: keras.Model, palms: Palms, views: Views) -> Float32:
    """Returns the embeddings float32 [N, ..., D] of all images; see `embed_palms`."""
    return embed_palms(
        lambda images: net(images, training=False)["embedding"], palms, views, net.name
    )


def fit_prototypes(net: keras.Model, train: Palms) -> Float32:
    """Sets a net's prototypes to the mean templates of the training images.

    The net itself gets only those of the upright, unshifted view.

    Returns:
        float32 [C, 2, M, D], the mean templates of all views, rounded to float16 as they are
        stored.
    """
    embeddings = embed(net, train, template_views)
    means = mean_templates(embeddings, train.labels, len(train.identities))
    prototypes = means.astype(np.float16).astype(np.float32)
    net.get_layer("similarity").set_weights([prototypes[:, 0, 0]])
    return prototypes


def describe(
    net: keras.Model,
    version: int,
    split: Split,
    calibration: Calibration,
    *,
    training: Mapping[str, Any],
    database: str,
    correct: int,
) -> Manifest:
    """Returns the manifest of a new version, without the checksums of its files.

    Args:
        net: the folded net, with its prototypes.
        version: number of the version.
        split: its training part set the prototypes, its validation part the calibration.
        calibration: calibration of the net's similarities.
        training: settings of the training.
        database: name of the database.
        correct: number of validation images that the net identifies correctly.
    """
    images: Any = net.input
    count = len(split.validation)
    return Manifest(
        schema_version=3,
        net=net.name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        input=InputSpec(height=images.shape[1], width=images.shape[2], channels=3, dtype="uint8"),
        embedding_size=net.get_layer("dense").units,
        identities=split.train.identities,
        prototypes_file="prototypes.npy",
        temperature=calibration.temperature,
        thresholds=calibration.thresholds,
        training=dict(training),
        dataset=Dataset(
            name=database,
            sha256=split.train.sha256,
            split=split.kind,
            split_seed=split.seed,
            training_images=len(split.train),
        ),
        metrics=Metrics(validation_accuracy=correct / count, validation_images=count),
        code_revision=_code_revision(),
        libraries={name: library_version(name) for name in ("keras", "tensorflow", "numpy")},
    )


def write_version(
    target: Path, net: keras.Model, manifest: Manifest, prototypes: Float32, images: Palms
) -> None:
    """Writes models_store/<net>/<version>, whole or not at all.

    Args:
        target: the version's folder.
        net: the folded net, with its prototypes.
        manifest: manifest without checksums, which are added.
        prototypes: float32 [C, 2, M, D].
        images: images from which the golden images are taken.

    Raises:
        ExportMismatch: if the SavedModel's outputs differ from the net's.
        OSError: if the version exists already, or cannot be written.
    """
    chosen = np.arange(GOLDEN_IMAGES) * (len(images) // GOLDEN_IMAGES)
    golden = np.repeat(images.images(chosen)[..., None], 3, axis=-1)
    with (
        replacing(target) as folder,
        tqdm(total=2, desc=f"{net.name}: writing and checking", unit="step") as bar,
    ):
        write_saved_model(net, manifest.temperature, folder)
        bar.update()
        write_golden(net, folder, golden)
        bar.update()
        np.save(folder / manifest.prototypes_file, prototypes.astype(np.float16))
        (folder / MANIFEST).write_text(seal_manifest(manifest, folder).as_json())


def write_saved_model(net: keras.Model, temperature: float, folder: Path) -> None:
    """Writes a net as a SavedModel, with kernels in float16.

    Its output `similarity` compares one view of an image with the prototypes. To identify, the
    service compares all views of `app.palm.views` instead.

    Args:
        net: the folded net, with its prototypes.
        temperature: divisor from similarities to the logits of `probabilities`.
        folder: target of the SavedModel.
    """
    images: Any = net.input
    size = images.shape[1]
    own_weights = net.trainable_variables + net.non_trainable_variables

    def serve(images: tf.Tensor) -> dict[str, Any]:
        weights = [
            tf.cast(stored, own.dtype)
            for stored, own in zip(module.weights, own_weights, strict=True)
        ]
        count = len(net.trainable_variables)
        result = net.stateless_call(weights[:count], weights[count:], images, training=False)
        outputs: dict[str, Any] = result[0]
        odds = keras.ops.softmax(outputs["similarity"] / temperature)
        return {**outputs, "probabilities": odds}

    # Not keras.export.ExportArchive: in Keras 3.15 it writes every variable twice.
    module = _Weights([tf.Variable(_as_stored(own.value)) for own in own_weights])
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8, name="images")]
    endpoint = tf.function(serve, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": endpoint})


class _Weights(tf.Module):
    """The variables of a SavedModel."""

    def __init__(self, weights: list[tf.Variable]) -> None:
        super().__init__()
        self.weights = weights


def _as_stored(weight: tf.Tensor) -> tf.Tensor:
    """Casts kernels to float16; variances and random states may not fit into float16."""
    return tf.cast(weight, tf.float16) if len(weight.shape) >= 2 else weight


def write_golden(net: keras.Model, folder: Path, images: Pixels) -> None:
    """Compares the SavedModel with the net and records its outputs for the service.

    Args:
        net: the net of the SavedModel.
        folder: folder of the SavedModel, where the golden file is written.
        images: uint8 [G, S, S, 3].

    Raises:
        ExportMismatch: if the SavedModel's outputs differ from the net's, or between two runs.
    """
    reloaded = tf.saved_model.load(str(folder))
    serve = reloaded.signatures["serving_default"]
    expected = np.asarray(net(images, training=False)["embedding"])
    for batch in (1, 3, 8):
        inputs = np.resize(images, (batch, *images.shape[1:]))
        found = np.asarray(serve(images=tf.constant(inputs))["embedding"])
        again = np.asarray(serve(images=tf.constant(inputs))["embedding"])
        cosine = (found * np.resize(expected, found.shape)).sum(axis=1).min()
        if 1 - cosine > MAX_DIFFERENCE or not np.array_equal(found, again):
            raise ExportMismatch(
                f"batch {batch}: cosine {cosine:.6f} between the trained net and its SavedModel, "
                "so nothing was exported: check that the run's weights are complete, finite and "
                "below 65,504"
            )
    outputs: dict[str, Any] = serve(images=tf.constant(images))
    arrays: dict[str, Any] = {name: np.asarray(output) for name, output in outputs.items()}
    np.savez_compressed(folder / GOLDEN, images=images, **arrays)


def _code_revision() -> str:
    """Returns the commit of this code, or "unknown" outside a checkout."""
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
