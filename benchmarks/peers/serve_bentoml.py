"""Serves the net by BentoML: workers, adaptive batching, an image as a form's file.

https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html
"""

import os
from pathlib import Path

import bentoml
from net import Net

BATCH = int(os.environ["PEER_BATCH"])


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]))
class Classifier:
    """The most probable identity of an image."""

    def __init__(self) -> None:
        """Loads the net in a worker."""
        self._net = Net()

    if BATCH > 1:

        @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)
        def classify(self, images: list[Path]) -> list[str]:
            """Labels the images of several requests."""
            return self._net.labels([self._net.decode(image.read_bytes()) for image in images])

    else:

        @bentoml.api
        def classify(self, images: Path) -> str:
            """Labels one image."""
            return self._net.labels([self._net.decode(images.read_bytes())])[0]
