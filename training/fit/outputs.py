"""Runs nets on many images, batch by batch, with a progress bar."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.palms import Palms
from training.fit.batches import Dataset, in_batches
from training.fit.devices import compiled

BAR: dict[str, Any] = {"delay": 2, "leave": False}
"""Options of the progress bars; a run of less than 2 s shows none."""

Float32 = NDArray[np.float32]


def predict(run: Callable[[Any], Any], palms: Palms, batch_size: int = 64) -> Float32:
    """Returns a net's outputs float32 [N, ...] for all images, in order.

    Args:
        run: the net's function, from `training.fit.devices.compiled`.
        palms: the images.
        batch_size: images in a batch.
    """
    parts: list[NDArray[Any]] = []
    with tqdm(total=len(palms), desc="running the net", unit="image", **BAR) as bar:
        for images in in_batches(palms, batch_size):
            parts.append(np.asarray(keras.ops.convert_to_numpy(run(images))))
            bar.update(len(images))
    return np.concatenate(parts).astype(np.float32)


def layer_outputs(
    nets: Mapping[str, keras.Model], layer: str, batches: Dataset
) -> tuple[dict[str, Float32], NDArray[np.int32]]:
    """Returns a layer's outputs for an epoch of batches.

    Args:
        nets: the nets by name.
        layer: name of a layer that all nets have.
        batches: batches of images and labels.

    Returns:
        Each net's outputs float32 [N, D], and the labels int32 [N].
    """
    runs = {
        name: compiled(keras.Model(net.input, net.get_layer(layer).output))
        for name, net in nets.items()
    }
    outputs: dict[str, list[NDArray[Any]]] = {name: [] for name in nets}
    labels: list[NDArray[np.int32]] = []
    for index in tqdm(range(len(batches)), "running the nets", unit="batch", **BAR):
        images, own = batches[index]
        labels.append(own)
        for name, run in runs.items():
            outputs[name].append(np.asarray(keras.ops.convert_to_numpy(run(images))))
    joined = {name: np.concatenate(parts).astype(np.float32) for name, parts in outputs.items()}
    return joined, np.concatenate(labels)
