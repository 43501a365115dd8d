"""OpenVINO: reads a TensorFlow SavedModel as it is, without TensorFlow."""

import sys
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.matching.templates import Floats


class OpenvinoEngine:
    """One compiled net. Each calling thread has an inference request of its own."""

    def __init__(self, folder: Path, *, precision: str = "f32") -> None:
        """Reads and compiles the SavedModel in `folder`.

        Args:
            folder: where saved_model.pb lies.
            precision: "f32" or "bf16". OpenVINO's own choice, bfloat16 wherever the CPU computes
                it natively, turned embeddings by up to a cosine of 0.995: local contrast is a
                small difference of large numbers.
        """
        # OpenVINO reports every import of it to Google Analytics, keeps an id for that in HOME, and
        # where it cannot, sets up the root logger. Its telemetry is a package of its own, which it
        # does without where that cannot be imported; the other way out is a file in HOME.
        sys.modules["openvino_telemetry"] = cast(Any, None)
        import openvino  # here, so that an image with another engine does not need it

        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        core: Any = openvino.Core()
        self._compiled = core.compile_model(core.read_model(folder), "CPU", options)
        self._requests = threading.local()

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Maps uint8 [B, H, W, 3] to float32 [B, D], rows of unit length."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        outputs = self._requests.own.infer({"images": np.ascontiguousarray(images)})
        return np.array(outputs["embedding"], np.float32)
