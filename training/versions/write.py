"""Writes a version of a net, and checks that its SavedModel has the outputs of the trained net."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import Case
from app.matching.templates import TrainedTemplates
from app.nets.manifest import (
    GOLDEN,
    MANIFEST,
    SCHEMA,
    Dataset,
    InputSpec,
    Manifest,
    Metrics,
    seal_manifest,
)
from app.nets.trained import write_trained
from training.database.palms import Pixels
from training.database.split import Split
from training.fit.batches import as_colour
from training.report.files import replacing
from training.versions.strangers import Strangers
from training.versions.templates import as_stored, template_id

SOFTMAX_TEMPERATURE = 0.05
"""Divisor from cosines to the logits of the output `probabilities`, which the service ignores."""

MAX_DIFFERENCE = 1e-4
"""Largest allowed 1 - cosine between the trained net's and the SavedModel's embeddings."""

MAX_MAP_DIFFERENCE = 1e-3
"""Largest allowed 1 - correlation between the trained net's and the SavedModel's maps."""

GOLDEN_PALMS = 4
"""Palms whose outputs the service recomputes when it starts, each in two sessions."""

Float32 = NDArray[np.float32]


class ExportMismatch(ValueError):
    """Raised if a SavedModel's outputs differ from the trained net's; nothing was exported."""


def describe(
    net: keras.Model,
    version: int,
    split: Split,
    cases: tuple[Case, ...],
    *,
    strangers: Sequence[Strangers],
    training: Mapping[str, Any],
    database: str,
    correct: int,
) -> Manifest:
    """Returns the manifest of a new version, without the checksums of its files.

    Args:
        net: the folded net, with its prototypes.
        version: number of the version.
        split: its training part gave the templates, its validation part the accuracy.
        cases: calibration of the net's scores.
        strangers: those that calibrated.
        training: settings of the training.
        database: name of the database.
        correct: number of validation images that the net identifies correctly.
    """
    images, outputs = cast(Any, net.input), cast(Any, net.output)
    count = len(split.validation)
    return Manifest(
        schema_version=SCHEMA,
        net=net.name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        input=InputSpec(height=images.shape[1], width=images.shape[2], channels=3, dtype="uint8"),
        embedding_size=outputs["embedding"].shape[-1],
        map_side=outputs["map"].shape[1],
        map_channels=outputs["map"].shape[-1],
        template_id=template_id(net),
        identities=split.train.identities,
        cases=cases,
        strangers=tuple(one.sha256 for one in strangers),
        training=dict(training),
        dataset=Dataset(
            name=database,
            sha256=split.train.sha256,
            split=split.kind,
            split_seed=split.seed,
            training_images=len(split.train),
        ),
        metrics=Metrics(validation_accuracy=correct / count, validation_images=count),
        code_revision=code_revision(),
        libraries={name: library_version(name) for name in ("keras", "tensorflow", "numpy")},
    )


def golden_pairs(strangers: Strangers) -> Pixels:
    """Returns uint8 [2 G, S, S, 3]: rows 2 i and 2 i + 1 show one palm in two sessions."""
    parts = [
        palms.images(np.searchsorted(palms.labels, np.arange(min(GOLDEN_PALMS, len(strangers)))))
        for palms in (strangers.templates, strangers.probes)
    ]
    pairs = np.stack(parts, axis=1)
    return as_colour(pairs.reshape(-1, *pairs.shape[2:]))


def write_version(
    target: Path, net: keras.Model, manifest: Manifest, trained: TrainedTemplates, golden: Pixels
) -> None:
    """Writes models_store/<net>/<version>, whole or not at all.

    Args:
        target: the version's folder.
        net: the folded net, with its prototypes.
        manifest: manifest without checksums, which are added.
        trained: templates of the net's identities.
        golden: uint8 [G, S, S, 3], images whose outputs are recorded; see `golden_pairs`.

    Raises:
        ExportMismatch: if the SavedModel's outputs differ from the net's.
        OSError: if the version exists already, or cannot be written.
    """
    with (
        replacing(target) as folder,
        tqdm(total=2, desc=f"{net.name}: writing and checking", unit="step") as bar,
    ):
        write_saved_model(net, folder)
        bar.update()
        write_golden(net, folder, golden)
        bar.update()
        write_trained(folder, trained)
        (folder / MANIFEST).write_text(seal_manifest(manifest, folder).as_json())


def write_saved_model(net: keras.Model, folder: Path) -> None:
    """Writes a net as a SavedModel, with kernels in float16.

    The service compares the outputs `map` and `mask`. The others classify among the trained
    identities alone, for use outside the service.

    Args:
        net: the folded net, with its prototypes.
        folder: target of the SavedModel.
    """

    def with_odds(outputs: dict[str, Any]) -> dict[str, Any]:
        odds = keras.ops.softmax(outputs["similarity"] / SOFTMAX_TEMPERATURE)
        return {**outputs, "probabilities": odds}

    save_halves(net, folder, with_odds)


def save_halves(
    net: keras.Model,
    folder: Path,
    finish: Callable[[dict[str, Any]], dict[str, Any]] = lambda outputs: outputs,
) -> None:
    """Writes any net as a SavedModel with kernels in float16 and the signature `serving_default`.

    Args:
        net: a net from `images` to outputs by name.
        folder: target of the SavedModel.
        finish: makes the SavedModel's outputs of the net's.
    """
    shape = cast(Any, net.input).shape[1:]
    own_weights = net.trainable_variables + net.non_trainable_variables

    def serve(images: tf.Tensor) -> dict[str, Any]:
        weights = [
            tf.cast(stored, own.dtype)
            for stored, own in zip(module.weights, own_weights, strict=True)
        ]
        count = len(net.trainable_variables)
        result = net.stateless_call(weights[:count], weights[count:], images, training=False)
        outputs: dict[str, Any] = result[0]
        return finish(outputs)

    # Not keras.export.ExportArchive: in Keras 3.15 it writes every variable twice.
    module = _Weights([tf.Variable(as_stored(own.value)) for own in own_weights])
    signature = [tf.TensorSpec((None, *shape), tf.uint8, name="images")]
    endpoint = tf.function(serve, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": endpoint})


class _Weights(tf.Module):
    """The variables of a SavedModel."""

    def __init__(self, weights: list[tf.Variable]) -> None:
        super().__init__()
        self.weights = weights


def write_golden(net: keras.Model, folder: Path, images: Pixels) -> None:
    """Compares the SavedModel with the net and records its outputs for the service.

    Args:
        net: the net of the SavedModel.
        folder: folder of the SavedModel, where the golden file is written.
        images: uint8 [G, S, S, 3].

    Raises:
        ExportMismatch: if the SavedModel's outputs differ from the net's, or between two runs.
    """
    reloaded = tf.saved_model.load(str(folder))  # owns the variables
    serve = reloaded.signatures["serving_default"]

    def run(inputs: Pixels) -> dict[str, Float32]:
        outputs: dict[str, Any] = serve(images=tf.constant(inputs))
        return {name: np.asarray(output) for name, output in outputs.items()}

    expected = {name: np.asarray(one) for name, one in net(images, training=False).items()}
    for batch in (1, 3, 8):
        rows = np.resize(np.arange(len(images)), batch)
        found, again = run(images[rows]), run(images[rows])
        same = all(np.array_equal(found[name], again[name]) for name in found)
        _require_equal(found, {name: one[rows] for name, one in expected.items()}, batch, same)
    arrays: dict[str, Any] = run(images)
    np.savez_compressed(folder / GOLDEN, images=images, **arrays)


def _require_equal(
    found: Mapping[str, Float32], expected: Mapping[str, Float32], batch: int, same: bool
) -> None:
    """Compares a SavedModel's outputs with the trained net's; NaN differs from everything."""
    cosine = _least_cosine(found["embedding"], expected["embedding"])
    correlation = _least_cosine(found["map"], expected["map"])
    equal_masks = np.array_equal(found["mask"] > 0.5, expected["mask"] > 0.5)
    alike = 1 - cosine <= MAX_DIFFERENCE and 1 - correlation <= MAX_MAP_DIFFERENCE
    if not (alike and equal_masks and same):
        raise ExportMismatch(
            f"batch {batch}: between the trained net and its SavedModel, cosine of embeddings "
            f"{cosine:.6f}, correlation of maps {correlation:.6f}, same masks {equal_masks}, equal "
            f"outputs of two runs {same}, so nothing was exported: check that the run's weights "
            "are complete, finite and below 65,504"
        )


def _least_cosine(rows: Float32, others: Float32) -> float:
    """Returns the least cosine of two arrays' rows; NaN if one is not finite."""
    one, other = (part.reshape(len(part), -1).astype(np.float64) for part in (rows, others))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def code_revision() -> str:
    """Returns the commit of this code, or "unknown" outside a checkout."""
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
