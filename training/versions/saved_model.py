"""The SavedModel that serves a net: written once, and proven to answer as the net does."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

MAX_DIFFERENCE = 1e-4
"""How far the reloaded artefact may be from the Keras model, in cosine similarity."""


class ExportMismatch(ValueError):
    """The reloaded artefact does not answer as the trained net does; nothing was exported."""


def write_saved_model(model: keras.Model, temperature: float, folder: Path) -> None:
    """Writes the graph, of images as they lie: its similarities are not the service's.

    Args:
        model: a folded net, with its prototypes.
        temperature: similarity over temperature is a log-odds.
        folder: where to.
    """
    size = model.input.shape[1]
    own_weights = model.trainable_variables + model.non_trainable_variables
    module = tf.Module()

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = [
            tf.cast(stored, own.dtype)
            for stored, own in zip(module.weights, own_weights, strict=True)
        ]
        count = len(model.trainable_variables)
        outputs, _ = model.stateless_call(weights[:count], weights[count:], images, training=False)
        odds = keras.ops.softmax(outputs["similarity"] / temperature)
        return {**outputs, "probabilities": odds}

    # Not keras.export.ExportArchive: in Keras 3.15 it writes every variable twice.
    module.weights = [tf.Variable(_as_stored(own.value)) for own in own_weights]
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8, name="images")]
    endpoint = tf.function(serve, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": endpoint})


def _as_stored(weight: tf.Tensor) -> tf.Tensor:
    """float16 for kernels; a variance, or the state of a seed, may not fit into it."""
    return tf.cast(weight, tf.float16) if len(weight.shape) >= 2 else weight


def write_golden(model: keras.Model, folder: Path, images: NDArray[np.uint8]) -> None:
    """Records the reloaded artefact's answers, after proving that they are the net's own.

    Args:
        model: what `write_saved_model` wrote.
        folder: where to, and where it lies.
        images: uint8 [G, S, S, 3], to be answered.

    Raises:
        ExportMismatch: if the artefact answers otherwise, or not twice alike.
    """
    reloaded = tf.saved_model.load(str(folder))
    serve = reloaded.signatures["serving_default"]
    expected = np.asarray(model(images, training=False)["embedding"])
    for batch in (1, 3, 8):
        inputs = np.resize(images, (batch, *images.shape[1:]))
        found = np.asarray(serve(images=tf.constant(inputs))["embedding"])
        again = np.asarray(serve(images=tf.constant(inputs))["embedding"])
        cosine = (found * np.resize(expected, found.shape)).sum(axis=1).min()
        if 1 - cosine > MAX_DIFFERENCE or not np.array_equal(found, again):
            raise ExportMismatch(
                f"batch {batch}: cosine {cosine:.6f} between net and artefact, so nothing was "
                "exported: are the run's weights whole and finite?"
            )
    outputs = {name: np.asarray(t) for name, t in serve(images=tf.constant(images)).items()}
    np.savez_compressed(folder / "golden.npz", images=images, **outputs)
