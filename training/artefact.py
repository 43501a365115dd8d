"""An exported net as a service would use it: the SavedModel and what its manifest says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from training.calibration import Calibration
from training.data import Palms, in_batches


class Artefact:
    """One version of a net, loaded with TensorFlow.

    Attributes:
        key: name and version, such as "vgg16/1".
        identities: labels in the order of the similarities.
        calibration: what its similarities mean.
    """

    def __init__(self, folder: Path) -> None:
        """Loads `<store>/<net>/<version>`."""
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.key = f"{manifest['net']}/{manifest['version']}"
        self.identities = tuple(manifest["identities"])
        self.calibration = Calibration.of(manifest)
        self._model = tf.saved_model.load(str(folder))  # owns the variables
        self._serve = self._model.signatures["serving_default"]

    def similarities(self, palms: Palms, batch_size: int = 64) -> NDArray[np.float32]:
        """float32 [N, C] of all pictures, in order."""
        parts = [
            np.asarray(self._serve(images=tf.constant(batch))["similarity"])
            for batch in tqdm(in_batches(palms, batch_size), self.key)
        ]
        return np.concatenate(parts)


def load_highest(store: Path, nets: tuple[str, ...], identities: tuple[str, ...]) -> list[Artefact]:
    """The highest version of each net.

    Raises:
        FileNotFoundError: if a net has no version.
        ValueError: if a net was trained on other identities.
    """
    artefacts = [Artefact(_highest(store / net)) for net in nets]
    for artefact in artefacts:
        if artefact.identities != identities:
            raise ValueError(
                f"{artefact.key} was trained on other identities than those in the data: "
                "train the nets on one database"
            )
    return artefacts


def _highest(folder: Path) -> Path:
    present = [p for p in folder.glob("*") if p.name.isdecimal()]
    if not present:
        raise FileNotFoundError(f"{folder} holds no version: export the net first")
    return max(present, key=lambda p: int(p.name))
