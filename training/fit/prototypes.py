"""Sets a net's prototypes: the mean templates in its `similarity` layer."""

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats
from training.database.palms import Palms
from training.fit.batches import Dataset
from training.fit.devices import compiled
from training.fit.outputs import layer_outputs, predict
from training.nets.build import embedding_model


def mean_templates(embeddings: Floats, labels: NDArray[np.integer], count: int) -> Floats:
    """Returns the mean template of every identity.

    Args:
        embeddings: float32 [T, D], rows of unit length.
        labels: integers [T] from 0 to `count` - 1: the identity of each embedding.
        count: number of identities.

    Returns:
        float32 [count, D], rows of unit length; zeros for an identity without embeddings.
    """
    sums = np.zeros((count, embeddings.shape[1]), np.float32)
    np.add.at(sums, labels, embeddings)
    # A mean of opposite embeddings has no direction and stays near zero.
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def set_prototypes(net: keras.Model, palms: Palms) -> None:
    """Sets a net's prototypes to the mean templates of unaugmented images.

    Args:
        net: a net with an embedding head and a prototype for each identity of `palms`.
        palms: the training images.
    """
    embeddings = predict(compiled(embedding_model(net)), palms)
    templates = mean_templates(embeddings, palms.labels, len(palms.identities))
    net.get_layer("similarity").set_weights([templates])


def set_synthetic_prototypes(nets: Mapping[str, keras.Model], batches: Dataset) -> None:
    """Sets nets' prototypes to the mean templates of the identities in an epoch of batches.

    Identities that are in no batch keep their random prototypes.

    Args:
        nets: the nets by name, with an embedding head.
        batches: batches of images and labels; a label is the number of a prototype.
    """
    embeddings, labels = layer_outputs(nets, "embedding", batches)
    seen = np.unique(labels)
    for name, net in nets.items():
        layer = net.get_layer("similarity")
        (prototypes,) = layer.get_weights()
        prototypes[seen] = mean_templates(embeddings[name], labels, len(prototypes))[seen]
        layer.set_weights([prototypes])
