"""OpenVINO: runs a TensorFlow SavedModel without TensorFlow."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats


class OpenvinoEngine:
    """One compiled net; concurrent calls are safe."""

    def __init__(self, folder: Path, *, precision: str = "f32") -> None:
        """Reads and compiles a SavedModel.

        Args:
            folder: the folder of saved_model.pb.
            precision: "f32" or "bf16". By default OpenVINO takes bfloat16 on CPUs that compute it
                natively. The cosine of an embedding to that of float32 is then as low as 0.995,
                because local contrast is a small difference of large numbers.
        """
        # OpenVINO reports every import to Google Analytics and stores an id in HOME; if it cannot,
        # it configures the root logger. It works without the package that does this. The only other
        # way to switch it off is a file in HOME.
        sys.modules["openvino_telemetry"] = cast(Any, None)
        import openvino  # here, so that an image with another engine does not need it

        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        core: Any = openvino.Core()
        self._compiled = core.compile_model(core.read_model(folder), "CPU", options)
        self._requests = threading.local()  # an inference request serves one thread at a time

    def maps(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Maps uint8 [B, H, W, 3] to maps float32 [B, S, S, C] and masks float32 [B, S, S]."""
        outputs = self.run(images, ("map", "mask"))
        return outputs["map"], outputs["mask"]

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """Maps images uint8 [B, H, W, C] to the outputs of these names, float32."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        outputs = self._requests.own.infer({"images": np.ascontiguousarray(images)})
        return {name: np.array(outputs[name], np.float32) for name in names}
