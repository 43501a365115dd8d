"""The net that the peers serve: files of images in, labels out. Runs in their environments."""

import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image


class Net:
    """A SavedModel with its labels, in the folder that PEER_MODEL names."""

    def __init__(self) -> None:
        """Loads the net and runs it once."""
        folder = Path(os.environ["PEER_MODEL"])
        manifest = json.loads((folder / "manifest.json").read_text())
        self._labels: list[str] = manifest["identities"]
        self._side_px: int = manifest["input"]["width"]
        self._model: Any = tf.saved_model.load(str(folder))  # owns the variables
        self._serve = self._model.signatures["serving_default"]
        self.labels([np.zeros((self._side_px, self._side_px, 3), np.uint8)])

    def decode(self, file: bytes) -> np.ndarray:
        """Returns the pixels of an image file, uint8 [S, S, 3]."""
        image, side = Image.open(BytesIO(file)).convert("RGB"), self._side_px
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))

    def labels(self, images: Sequence[np.ndarray]) -> list[str]:
        """Returns the most probable identity of each image."""
        found = self._serve(images=tf.constant(np.stack(images)))["probabilities"].numpy()
        return [self._labels[one] for one in found.argmax(axis=1)]
