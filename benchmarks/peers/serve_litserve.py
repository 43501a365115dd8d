"""Serves the net by LitServe, as its guide to speed does: base64 in JSON, workers, batches.

https://lightning.ai/docs/litserve/speed-up-serving-by-200x
"""

import base64
import os

import litserve
import numpy as np
from net import Net

BATCH = int(os.environ["PEER_BATCH"])


class Classifier(litserve.LitAPI):
    """The most probable identity of an image."""

    def setup(self, device: str) -> None:
        """Loads the net in a worker."""
        self._net = Net()

    def decode_request(self, request: dict) -> np.ndarray:
        """Decodes the image."""
        return self._net.decode(base64.b64decode(request["image_data"]))

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Joins requests."""
        return inputs

    def unbatch(self, output: list[str]) -> list[str]:
        """Parts answers."""
        return output

    def predict(self, x: list[np.ndarray] | np.ndarray) -> list[str] | str:
        """Runs the net."""
        return self._net.labels(x) if isinstance(x, list) else self._net.labels([x])[0]

    def encode_response(self, output: str) -> dict[str, str]:
        """Returns the answer."""
        return {"output": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        Classifier(max_batch_size=BATCH, batch_timeout=0.005 if BATCH > 1 else 0.0),
        accelerator="cpu",
        workers_per_device=int(os.environ["PEER_WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
