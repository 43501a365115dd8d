"""Photographs of hands, and images of no palm, against the shipped finder over real HTTP."""

from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.no_palms import NO_PALMS
from benchmarks.server import REPOSITORY
from tests.app.conftest import encode
from tests.e2e.conftest import Start

HANDS = REPOSITORY / "samples" / "hands"
STRANGERS = sorted(path for path in (HANDS / "strangers").iterdir())


def send(http: httpx.Client, route: str, *images: bytes, **fields: str) -> httpx.Response:
    files = [("images", ("hand.jpg", image, "image/jpeg")) for image in images]
    return http.post(f"/v1/{route}", files=files, data=fields)


def shots(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def identity(answer: dict[str, Any]) -> str | None:
    return answer["identity"] and answer["identity"]["subject_id"]


@pytest.mark.parametrize("path", sorted((HANDS / "known").glob("*.jpg")), ids=lambda p: p.stem)
def test_a_known_palm_is_identified_by_a_photograph_of_the_hand(
    service: httpx.Client, path: Path
) -> None:
    answer = send(service, "identify", path.read_bytes()).raise_for_status().json()
    assert answer["regions"][0]["capture"] == "hand"
    assert identity(answer) == path.stem


def test_strangers_hands_are_nobody_s_until_they_are_enrolled(start: Start) -> None:
    with start() as http:
        for folder in STRANGERS:
            *enrolled, probe = shots(folder)
            before = send(http, "identify", probe).raise_for_status().json()
            assert (before["decision"], identity(before)) == ("no_match", None)
            answer = send(http, "enroll", *enrolled, subject_id=folder.name)
            assert answer.status_code == 201, answer.text
            assert answer.json()["subject"]["captures"] == ["hand"]
        for folder in STRANGERS:
            after = send(http, "identify", shots(folder)[-1]).raise_for_status().json()
            assert identity(after) == folder.name
            assert after["warnings"] == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_hand_is_found_in_any_direction(service: httpx.Client, quarters: int) -> None:
    upright = HANDS / "known" / "p014.jpg"
    with Image.open(upright) as image:
        turned = np.rot90(np.asarray(image), quarters)  # counterclockwise
    answers = [
        send(service, "inspect", file).raise_for_status().json()
        for file in (upright.read_bytes(), encode(np.ascontiguousarray(turned)))
    ]
    here, there = (answer["region"] for answer in answers)
    difference = there["rotation_deg"] - here["rotation_deg"] + 90 * quarters
    assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=4)
    assert here["hand"] == there["hand"]


@pytest.mark.parametrize("kind", NO_PALMS)
def test_what_shows_no_palm_is_not_enrolled(service: httpx.Client, kind: str) -> None:
    for seed in range(3):
        drawn = NO_PALMS[kind](np.random.default_rng([21, seed]))
        answer = send(service, "enroll", encode(drawn), subject_id="nobody")
        assert answer.status_code == 422, answer.text
        assert answer.json()["type"].rpartition(":")[2] in ("palm-not-found", "quality-poor")
    assert service.get("/v1/subjects/nobody").status_code == 404


def test_a_blurred_hand_is_refused_with_what_to_do(service: httpx.Client) -> None:
    with Image.open(HANDS / "known" / "p018.jpg") as image:
        small = image.resize((image.width // 20, image.height // 20))
        blurred = small.resize(image.size, Image.Resampling.BICUBIC)
    answer = send(service, "enroll", _jpeg(blurred), subject_id="nobody")
    assert answer.status_code == 422
    assert any("blurred" in error["message"] for error in answer.json()["errors"])


def _jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
