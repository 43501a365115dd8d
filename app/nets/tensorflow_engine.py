"""TensorFlow: the engine that the nets were exported with."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.templates import Floats


class TensorflowEngine:
    """One loaded SavedModel; concurrent calls are safe."""

    def __init__(self, folder: Path) -> None:
        """Loads a SavedModel from the folder of its saved_model.pb."""
        import tensorflow  # here, so that an image with another engine does not need it

        self._tensorflow: Any = tensorflow
        self._model = self._tensorflow.saved_model.load(str(folder))  # owns the variables
        self._serve = self._model.signatures["serving_default"]

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Maps uint8 [B, H, W, 3] to float32 [B, D], rows of unit length."""
        tensor = self._tensorflow.constant(np.ascontiguousarray(images))
        return np.asarray(self._serve(images=tensor)["embedding"], np.float32)
