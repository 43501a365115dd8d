"""What the service sees in an image, over HTTP, and what it refuses for its quality."""

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.ensemble import Ensemble
from app.nets.files import NetCorrupt, NetMissing
from app.palm.finder import Finder
from app.settings import Settings
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    identify,
    images,
    local_client,
    make_app,
    palm,
    png,
    verify,
)
from tests.app.conftest import encode
from tests.app.palm.test_hand import spots
from tests.app.palm.toy_net import SIDE, see_hands_or_crops

NOTHING = encode(np.zeros((128, 128), np.uint8))
SIZE = (640, 480)


@pytest.fixture(scope="module")
def hand() -> bytes:
    """A photograph of a hand, as the toy finder knows hands, whose fingers point right."""
    return encode(spots(SIZE, (300, 220), 110, 90)[0])


@pytest.fixture
def strict(settings: Settings) -> Iterator[TestClient]:
    """An application that refuses images of poor quality."""
    update = {"quality_enroll": 10, "quality_probe": 0}
    with local_client(make_app(settings.model_copy(update=update))) as client:
        yield client


def inspect(client: TestClient, file: bytes, query: str = "", **fields: str) -> Any:
    return client.post(f"/v1/inspect{query}", data=fields, files=images(file))


def test_a_hand_is_found_where_it_lies(shared_client: TestClient, hand: bytes) -> None:
    answer = inspect(shared_client, hand).json()
    region = answer["region"]
    assert region["capture"] == "hand"
    assert region["hand"] == "left"
    assert region["rotation_deg"] == pytest.approx(90, abs=1)
    middle = np.mean(region["corners"], axis=0) * SIZE
    expected = np.array([300, 220]) - np.array([110 * (14.2 + 32) / 38, 0])
    assert middle == pytest.approx(expected, abs=3)
    assert np.mean(region["gaps"], axis=0) * SIZE == pytest.approx([302, 220], abs=3)
    assert answer["quality"]["palm_px"] == pytest.approx(110 * 64 / 38, rel=0.02)
    assert answer["drawing"] is None
    assert answer["request_id"]


def test_corners_are_shares_of_the_upright_image(shared_client: TestClient, hand: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees to the right
    rotated = encode(Image.open(BytesIO(hand)).transpose(Image.Transpose.ROTATE_90), exif=exif)
    found, expected = (inspect(shared_client, x).json()["region"] for x in (rotated, hand))
    assert np.array(found["corners"]) == pytest.approx(np.array(expected["corners"]), abs=0.01)


def test_a_drawing_shows_the_square_and_the_palm_upright(
    shared_client: TestClient, hand: bytes
) -> None:
    answer = inspect(shared_client, hand, "?draw=true").json()
    drawing, square = (Image.open(BytesIO(b64decode(answer[k]))) for k in ("drawing", "palm"))
    assert drawing.size == SIZE
    assert drawing.mode == "RGB"
    assert square.size == (224, 224)
    red, green, blue = np.moveaxis(np.asarray(drawing).astype(int), 2, 0)
    yellow = np.argwhere((red > 200) & (green > 150) & (blue < 80)).mean(axis=0)
    middle = np.mean(answer["region"]["corners"], axis=0)[::-1] * SIZE[::-1]
    assert yellow[1] - middle[1] == pytest.approx(110 * 32 / 38, abs=5)  # fingers point right
    assert yellow[0] == pytest.approx(middle[0], abs=5)
    dots, _ = cv2.connectedComponents(((red > 200) & (green < 120)).astype(np.uint8))
    assert dots - 1 == 3
    upright = encode(spots(SIZE, (300, 220), 110, 0)[0])
    expected = inspect(shared_client, upright, "?draw=true").json()["palm"]
    difference = np.asarray(square).astype(int) - np.asarray(
        Image.open(BytesIO(b64decode(expected)))
    )
    assert np.abs(difference).mean() < 3


def test_a_palm_alone_is_left_as_it_is(shared_client: TestClient) -> None:
    region = inspect(shared_client, png(1)).json()["region"]
    assert (region["capture"], region["gaps"], region["hand"]) == ("roi", [], None)
    assert region["corners"] == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_that_no_palm_is_found_is_an_answer_with_advice(shared_client: TestClient) -> None:
    answer = inspect(shared_client, NOTHING).json()
    assert not answer["usable"]
    assert (answer["region"], answer["quality"]) == (None, None)
    assert "no open hand is found" in answer["advice"][0]


def test_poor_quality_is_an_answer_with_advice(strict: TestClient) -> None:
    answer = inspect(strict, encode(palm(1) // 20)).json()
    assert not answer["usable"]
    assert any("too dark" in one for one in answer["advice"])
    assert answer["quality"]["score"] < 10


def test_what_cannot_be_decoded_is_a_problem(shared_client: TestClient) -> None:
    assert_problem(inspect(shared_client, b"%PDF-1.7 " + b"x" * 99), 415, "PDF")
    assert_problem(shared_client.post("/v1/inspect"), 422, "images")
    assert_problem(shared_client.post("/v1/inspect", files=images(png(1), png(2))), 422, "images")


@pytest.mark.parametrize("path", ["enroll", "identify", "verify", "inspect"])
def test_an_unknown_capture_is_refused(shared_client: TestClient, path: str) -> None:
    fields = {"subject_id": "ada"} if path in ("enroll", "verify") else {}
    data = {**fields, "capture": "foot"}
    response = shared_client.post(f"/v1/{path}", data=data, files=images(png(1)))
    assert_problem(response, 422, "capture", "'auto', 'hand' or 'roi'", "foot")


def test_the_request_may_say_what_an_image_is_taken_for(
    shared_client: TestClient, hand: bytes
) -> None:
    assert inspect(shared_client, hand, capture="roi").json()["region"]["capture"] == "roi"
    answer = inspect(shared_client, png(1), capture="hand").json()
    assert (answer["usable"], answer["region"]) == (False, None)


def test_the_operator_may_say_it_for_all_requests(settings: Settings, hand: bytes) -> None:
    only = settings.model_copy(update={"capture": "hand"})
    with local_client(make_app(only)) as client:
        assert_problem(identify(client, png(1)), 422, "no open hand is found")
        assert inspect(client, hand).json()["region"]["capture"] == "hand"


def test_poor_images_are_refused_with_each_reason_and_nothing_is_stored(
    strict: TestClient,
) -> None:
    dark = encode(palm(1) // 20)
    response = enroll(strict, "ada", png(1), dark)
    assert_problem(response, 422, "image 2 of 2", "at least 10 is needed", "too dark")
    problem = response.json()
    assert problem["type"] == "urn:palm:problem:quality-poor"
    reasons = {error["field"]: error["message"] for error in problem["errors"]}
    assert "brightness" in reasons["images.1.brightness"]
    assert_problem(strict.get("/v1/subjects/ada"), 404)


def test_a_probe_may_be_worse_than_a_template(client: TestClient, settings: Settings) -> None:
    score = identify(client, png(1)).json()["quality"][0]["score"]
    between = {"quality_enroll": score + 1, "quality_probe": score}
    with local_client(make_app(settings.model_copy(update=between))) as stricter:
        assert identify(stricter, png(1)).status_code == 200
        assert verify(stricter, "p001", png(1)).status_code == 200
        assert_problem(enroll(stricter, "ada", png(1)), 422, f"at least {score + 1} is needed")
    above = {"quality_enroll": 0, "quality_probe": score + 1}
    with local_client(make_app(settings.model_copy(update=above))) as stricter:
        for response in (identify(stricter, png(1)), verify(stricter, "p001", png(1))):
            assert_problem(response, 422, f"at least {score + 1} is needed")
        assert enroll(stricter, "ada", png(1), force="true").status_code == 201


def test_a_probe_captured_otherwise_than_the_templates_gets_a_warning(
    client: TestClient, hand: bytes
) -> None:
    subject = enroll(client, "ada", hand).json()["subject"]
    assert subject["captures"] == ["hand"]
    assert identify(client, hand).json()["warnings"] == []
    same = {"subject_id": "ada", "capture": "roi"}
    answer = client.post("/v1/verify", data=same, files=images(hand)).json()
    (warning,) = answer["warnings"]
    assert "ada was enrolled from a photograph of the whole hand" in warning
    added = enroll(client, "ada", hand, add="true", capture="roi", force="true")
    assert added.status_code == 201
    answer = client.post("/v1/verify", data=same, files=images(hand)).json()
    assert answer["warnings"] == []


@pytest.mark.parametrize("size", [(96, 20_000), (20_000, 96), (96, 961)])
def test_a_strip_is_refused(shared_client: TestClient, size: tuple[int, int]) -> None:
    strip = encode(Image.new("L", size, 128))
    for response in (identify(shared_client, strip), inspect(shared_client, strip)):
        assert_problem(response, 422, f"{size[0]}x{size[1]}", "at most 10 times")


def test_a_finder_that_fails_is_a_problem_that_gives_nothing_away(settings: Settings) -> None:
    def compute_nonsense(views: np.ndarray) -> dict[str, np.ndarray]:
        outputs = dict(see_hands_or_crops(views))
        return outputs | {"landmarks": outputs["landmarks"] * np.nan}

    broken = Finder(compute_nonsense, SIDE, 0.5)
    app = make_app(settings, load_finder=lambda *_: broken)
    with local_client(app, raise_server_exceptions=False) as client:
        assert_problem(enroll(client, "ada", png(1)), 500, "request")
        assert_problem(client.get("/v1/subjects/ada"), 404)


def test_without_a_finder_only_the_gallery_can_be_used(settings: Settings) -> None:
    def load_missing(_models_dir: Path, _engine: str) -> Finder:
        raise NetMissing("models_store/finder holds no version of finder")

    with local_client(make_app(settings, load_finder=load_missing)) as client:
        for response in (identify(client, png(1)), inspect(client, png(1))):
            assert_problem(response, 503, "the finder could not be started")
        assert client.get("/v1/subjects").status_code == 200


def test_without_nets_an_image_can_be_inspected(settings: Settings) -> None:
    def load_broken(*_: object) -> Ensemble:
        raise NetCorrupt("models_store/vgg16/1 is damaged")

    with local_client(make_app(settings, load_broken)) as client:
        assert inspect(client, png(1)).status_code == 200
        assert_problem(identify(client, png(1)), 503, "the nets could not be started")
