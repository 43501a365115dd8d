"""TensorFlow: the engine that the nets were exported with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats


class TensorflowEngine:
    """One loaded SavedModel; concurrent calls are safe."""

    def __init__(self, folder: Path) -> None:
        """Loads a SavedModel from the folder of its saved_model.pb."""
        import tensorflow  # here, so that an image with another engine does not need it

        self._tensorflow: Any = tensorflow
        self._model = self._tensorflow.saved_model.load(str(folder))  # owns the variables
        self._serve = self._model.signatures["serving_default"]

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """Maps images uint8 [B, H, W, C] to the outputs of these names, float32."""
        outputs = self._serve(images=self._tensorflow.constant(np.ascontiguousarray(images)))
        return {name: np.asarray(outputs[name], np.float32) for name in names}


class TensorflowNets:
    """Several nets, which run one after the other; concurrent calls are safe."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Loads the SavedModels of the nets, by the nets' names."""
        self._engines = [TensorflowEngine(folder) for folder in folders.values()]

    def maps(self, images: NDArray[np.uint8]) -> list[tuple[Floats, Floats]]:
        """Maps uint8 [B, H, W, 3] to each net's maps [B, S, S, C] and masks [B, S, S], float32."""
        found = [one.run(images, ("map", "mask")) for one in self._engines]
        return [(outputs["map"], outputs["mask"]) for outputs in found]
