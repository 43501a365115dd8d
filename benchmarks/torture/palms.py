"""Drawn palms, and the requests that enroll and identify them."""

from collections.abc import Sequence

import cv2
import httpx

from training.synthetic.palms import photograph
from training.synthetic.styles import TRAINING

IMAGES = 2  # of each palm
SEED = 3_000_017


def draw(number: int) -> list[bytes]:
    """Returns the files of one drawn palm."""
    shots = photograph(number, seed=SEED, style=TRAINING, sessions=1, shots=IMAGES)[0]
    return [cv2.imencode(".png", shot)[1].tobytes() for shot in shots]


def enroll(
    http: httpx.Client, subject_id: str, files: Sequence[bytes], *, once: str | None = None
) -> httpx.Response:
    """Asks to enroll a palm; the same palm may be enrolled under many ids."""
    return http.post(
        "/v1/enroll",
        data={"subject_id": subject_id, "force": "true"},
        files=[("images", ("palm.png", file, "image/png")) for file in files],
        headers={"Idempotency-Key": once} if once else None,
    )


def identify(http: httpx.Client, file: bytes) -> httpx.Response:
    """Asks whose palm an image shows."""
    return http.post("/v1/identify", files=[("images", ("palm.png", file, "image/png"))])
