"""Enroll, identify and verify over HTTP."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from app.ensemble import Ensemble
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion
from app.matching.maps import VeinMaps
from app.palm.finder import Finder
from app.settings import Settings
from tests.app.api.conftest import (
    ToyNet,
    assert_problem,
    enroll,
    identify,
    images,
    load_toy_finder,
    local_client,
    make_app,
    palm,
    png,
    verify,
)
from tests.app.conftest import encode, largest_file
from tests.app.live import live
from tests.app.palm.test_hand import spots
from tests.app.palm.toy_net import SIDE, see_crops_pointing


def test_a_trained_palm_is_identified_with_every_nets_vote(shared_client: TestClient) -> None:
    response = identify(shared_client, png(2, shot=5))
    assert response.status_code == 200
    answer = response.json()
    assert answer["decision"] == "match"
    assert answer["identity"]["subject_id"] == "p002"
    assert answer["identity"]["origin"] == "trained"
    assert answer["confidence"] == 0.9999
    assert answer["candidates"][0]["subject_id"] == "p002"
    assert [vote["net"] for vote in answer["nets"]] == ["alexnet", "vgg16", "vgg19"]
    assert {vote["subject_id"] for vote in answer["nets"]} == {"p002"}
    assert answer["threshold"]["fmr"] == 0.00256  # of 1 % among 3 subjects, for one direction
    assert len(answer["quality"]) == 1
    assert answer["request_id"] == response.headers["x-request-id"]
    assert "total" in answer["timings_ms"]


def test_a_palm_of_nobody_gets_no_match(shared_client: TestClient) -> None:
    answer = identify(shared_client, png(50)).json()
    assert answer["decision"] == "no_match"
    assert answer["identity"] is None
    assert answer["candidates"]


@pytest.mark.parametrize(("quarters", "rotation"), [(1, -90), (2, 180), (3, 90)])
def test_a_square_crop_is_found_in_any_direction_with_a_warning(
    shared_client: TestClient, quarters: int, rotation: float
) -> None:
    turned = encode(np.ascontiguousarray(np.rot90(palm(2, 5), quarters)))  # counterclockwise
    answer = identify(shared_client, turned).json()
    assert (answer["decision"], answer["identity"]["subject_id"]) == ("match", "p002")
    assert answer["threshold"]["fmr"] == 0.000256  # a tenth of that of an upright one
    (region,) = answer["regions"]
    assert region["rotation_deg"] == rotation
    upper_left = {-90: [0, 1], 180: [1, 1], 90: [1, 0]}[rotation]
    assert region["corners"][0] == upper_left
    pointing = {-90: "left", 180: "down", 90: "right"}[rotation]
    assert (
        f"image 1 point {pointing}: send square crops with the fingers up" in answer["warnings"][0]
    )


def test_two_turned_crops_are_found_together(shared_client: TestClient) -> None:
    turned = [encode(np.ascontiguousarray(np.rot90(palm(2, shot), 2))) for shot in (5, 6)]
    answer = identify(shared_client, *turned).json()
    assert (answer["decision"], answer["identity"]["subject_id"]) == ("match", "p002")
    assert len(answer["warnings"]) == 2


class CountingNet(ToyNet):
    """Counts its images."""

    def __init__(self, lowest_fmr: float = 1e-4) -> None:
        super().__init__("vgg16", 1)
        self.seen = 0
        thresholds = (Threshold(0.5, 1e-2), Threshold(0.6, lowest_fmr))
        self.calibration = Calibration((Case(False, 1, 1, 0.05, thresholds),))

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        self.seen += len(images)
        return super().maps(images)


def test_a_turned_crop_is_verified_too(settings: Settings) -> None:
    turned = encode(np.ascontiguousarray(np.rot90(palm(2, 5))))
    with local_client(make_app(settings.model_copy(update={"fmr_target": 0.01}))) as client:
        answer = verify(client, "p002", turned).json()
        assert (answer["decision"], len(answer["warnings"])) == ("match", 1)
        assert verify(client, "p001", turned).json()["decision"] == "no_match"


def count_directions(
    settings: Settings, file: bytes, lowest_fmr: float = 1e-4, finder: Finder | None = None
) -> tuple[int, Any]:
    """Returns in how many directions a stranger's image was compared, and the answer."""
    net = CountingNet(lowest_fmr)
    ensemble = Ensemble((net,), Fusion((1.0,), net.calibration))
    find = (lambda *_: finder) if finder else load_toy_finder
    with local_client(make_app(settings, lambda *_: ensemble, find)) as client:
        answer = identify(client, file).json()
    return net.seen, answer


@pytest.mark.parametrize(("direction", "seen"), [("up", 1), ("right", 2)])
def test_a_crop_is_compared_upright_and_in_its_probable_direction(
    settings: Settings, direction: str, seen: int
) -> None:
    finder = Finder(see_crops_pointing(direction), SIDE, 0.5)
    assert count_directions(settings, png(50), finder=finder)[0] == seen


@pytest.mark.parametrize(("turns", "direction"), [(1, "left"), (2, "down"), (3, "right")])
def test_a_crop_that_is_probably_turned_is_enrolled_with_a_warning(
    settings: Settings, turns: int, direction: str
) -> None:
    turned = encode(np.ascontiguousarray(np.rot90(palm(50), turns)))  # counterclockwise
    finder = Finder(see_crops_pointing(direction), SIDE, 0.5)
    with local_client(make_app(settings, load_finder=lambda *_: finder)) as client:
        inspected = client.post("/v1/inspect", files=images(turned)).json()
        enrolled = enroll(client, "ada", turned).json()
    for answer in (inspected, enrolled):
        (warning,) = answer["warnings"]
        assert f"image 1 seem to point {direction} (probability 0.99)" in warning


def test_a_hand_is_compared_in_the_direction_of_its_fingers_only(settings: Settings) -> None:
    hand = encode(spots((640, 480), (300, 220), 110, 0)[0])
    seen, answer = count_directions(settings, hand)
    assert (seen, answer["decision"]) == (1, "no_match")
    assert answer["threshold"]["fmr"] == 0.00333  # 1 % among 3 subjects
    assert count_directions(settings, png(50))[0] == 4


def test_no_crop_is_turned_where_its_false_match_rate_was_never_measured(
    settings: Settings,
) -> None:
    seen, answer = count_directions(settings, png(50), lowest_fmr=3e-4)  # above 1 % / 3 / 13
    assert (seen, answer["threshold"]["fmr"]) == (1, 0.00333)


def test_an_enrolled_stranger_is_found_after_a_restart_too(
    client: TestClient, settings: Settings
) -> None:
    shots = [png(50), png(50, 1), png(50, 2)]
    response = enroll(client, "ada", *shots, name="Ada", hand="left")
    assert response.status_code == 201
    assert response.headers["location"] == "/v1/subjects/ada"
    subject = response.json()["subject"]
    assert (subject["name"], subject["hand"], subject["origin"]) == ("Ada", "left", "enrolled")
    assert subject["template_counts"][f"vgg16:{1:016x}"] == 3
    with local_client(make_app(settings)) as restarted:
        for running in (client, restarted):
            answer = identify(running, png(50, 7)).json()
            assert (answer["decision"], answer["identity"]["subject_id"]) == ("match", "ada")


def test_the_location_of_an_enrolled_subject_holds_the_root_path(settings: Settings) -> None:
    app = make_app(settings)
    with local_client(app, root_path="/palm") as client:
        response = enroll(client, "ada", png(50))
    assert response.headers["location"] == "/palm/v1/subjects/ada"


def test_verify_accepts_the_subject_and_rejects_another(shared_client: TestClient) -> None:
    own, other = (verify(shared_client, "p001", png(palm, 3)).json() for palm in (1, 2))
    assert (own["decision"], other["decision"]) == ("match", "no_match")
    assert own["identity"]["subject_id"] == "p001"
    assert own["confidence"] > 0.9
    assert other["score"] < other["threshold"]["score"]


def test_verify_names_an_unknown_subject_unless_the_id_is_long(shared_client: TestClient) -> None:
    assert_problem(verify(shared_client, "ghost", png(1)), 404, "ghost")
    response = verify(shared_client, "z" * 3000, png(1))
    assert_problem(response, 422, "subject_id", "at most 255")
    assert len(response.text) < 1000


@pytest.mark.parametrize(
    ("subject_id", "seed", "origin", "count"),
    [("ada", 50, "enrolled", 2), ("p001", 1, "trained", 1)],
)
def test_enrolling_an_existing_subject_needs_add(
    client: TestClient, subject_id: str, seed: int, origin: str, count: int
) -> None:
    enroll(client, "ada", png(50))
    assert_problem(enroll(client, subject_id, png(seed)), 409, subject_id, "add")
    added = enroll(client, subject_id, png(seed, 1), add="true")
    assert added.status_code == 201
    assert added.json()["subject"]["origin"] == origin
    assert added.json()["subject"]["template_counts"][f"alexnet:{0:016x}"] == count


@pytest.mark.parametrize(
    ("file", "status", "word"),
    [
        pytest.param(b"", 422, "empty", id="zero bytes"),
        pytest.param(b"not an image at all", 422, "image", id="not an image"),
        pytest.param(png(1)[: len(png(1)) // 2], 422, "truncated", id="truncated"),
        pytest.param(b"%PDF-1.7 " + b"x" * 99, 415, "PDF", id="wrong type"),
        pytest.param(
            encode(Image.new("1", (10_000, 5_000))), 413, "10000x5000", id="50 megapixels"
        ),
        pytest.param(encode(Image.new("CMYK", (96, 96)), "JPEG"), 422, "CMYK", id="CMYK"),
        pytest.param(encode(Image.new("L", (40, 40))), 422, "40", id="too small"),
        pytest.param(encode(Image.new("L", (96, 96))), 422, "no open hand", id="featureless"),
        pytest.param(
            encode(palm(1), "WEBP", save_all=True, append_images=[Image.fromarray(palm(2))]),
            422,
            "frames",
            id="animated",
        ),
    ],
)
def test_a_bad_image_is_refused_and_nothing_is_stored(
    shared_client: TestClient, file: bytes, status: int, word: str
) -> None:
    assert_problem(enroll(shared_client, "ada", png(50), file), status, word, "image 2 of 2")
    assert_problem(shared_client.get("/v1/subjects/ada"), 404)
    assert_problem(identify(shared_client, file), status, word)
    assert identify(shared_client, png(1)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/enroll", "/v1/identify", "/v1/verify"])
@pytest.mark.parametrize("count", [0, 11])
def test_the_number_of_images_is_limited(shared_client: TestClient, path: str, count: int) -> None:
    response = shared_client.post(path, data={"subject_id": "ada"}, files=images(*[png(1)] * count))
    assert_problem(response, 422, "images")
    assert "images" in [error["field"] for error in response.json()["errors"]]


def test_images_sent_as_text_are_refused(shared_client: TestClient) -> None:
    response = shared_client.post("/v1/identify", data={"images": "palm.png"})
    assert_problem(response, 422, "a file", "multipart/form-data")


def test_anything_but_a_form_is_refused_and_the_form_explained(shared_client: TestClient) -> None:
    for response in (
        shared_client.post("/v1/identify", json={"images": []}),
        shared_client.post("/v1/identify", content=png(1), headers={"content-type": "image/png"}),
        shared_client.post("/v1/identify"),
    ):
        assert_problem(response, 422, "multipart/form-data", "one or more `images`")


@pytest.mark.parametrize("subject_id", [None, "", "a" * 65, "-a", "a b", "a/b", "ä", "a\n", "../a"])
def test_an_odd_subject_id_is_refused(shared_client: TestClient, subject_id: str | None) -> None:
    data = {} if subject_id is None else {"subject_id": subject_id}
    response = shared_client.post("/v1/enroll", data=data, files=images(png(50)))
    assert_problem(response, 422, "subject_id")
    assert len(response.json()["detail"]) < 300


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("name", "n" * 201, "at most 200 characters"),
        ("name", "a\0b", "control characters"),
        ("name", "a\nb", "one line"),
        ("name", "a\u2028b", "one line"),
        ("name", "gpj.\u202egnp", "control characters"),
        ("hand", "both", "'left' or 'right', not 'both'"),
        ("add", "perhaps", "boolean"),
    ],
)
def test_an_odd_field_is_named_once_in_the_caller_s_words(
    shared_client: TestClient, field: str, value: str, word: str
) -> None:
    response = enroll(shared_client, "ada", png(50), **{field: value})
    assert_problem(response, 422, word)
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_an_empty_optional_field_counts_as_left_out(client: TestClient) -> None:
    answer = enroll(client, "ada", png(50), name="", hand="", add="")
    assert answer.status_code == 201
    assert (answer.json()["subject"]["name"], answer.json()["subject"]["hand"]) == (None, None)


def test_a_name_may_have_any_letters(client: TestClient) -> None:
    name = "Ада \u0645\u0631\u06cc\u0645 Müller-\u674e \U0001f590"
    assert enroll(client, "ada", png(50), name=name).json()["subject"]["name"] == name


def test_a_mangled_form_is_refused_and_the_form_explained(shared_client: TestClient) -> None:
    mangled = {
        "multipart/form-data; boundary=y": b"z--x\r\nz\r\n--y--",
        "multipart/form-data": b"--x--",
    }
    for content_type, body in mangled.items():
        headers = {"content-type": content_type}
        response = shared_client.post("/v1/identify", content=body, headers=headers)
        assert_problem(response, 400, "multipart", "one or more `images`")


def test_an_upload_that_the_disk_has_no_room_for_is_the_service_s_fault(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    large = settings.model_copy(update={"max_body_mb": 4})
    app = make_app(large)
    with local_client(app) as client, largest_file(2**20):
        response = identify(client, png(1) + b"x" * 2**21)
    assert_problem(response, 503, "make room", "temporary files")
    assert "make room" in caplog.text


def form_body(*parts: tuple[str, bytes]) -> bytes:
    """Returns a multipart body of these parts, with the boundary `x`."""
    start = b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    files = {"images": b'; filename="palm.png"'}
    return (
        b"".join(start % (name.encode(), files.get(name, b""), value) for name, value in parts)
        + b"--x--\r\n"
    )


FORM_HEADERS = {"content-type": "multipart/form-data; boundary=x"}


def test_a_form_that_ends_early_is_refused_and_nothing_is_stored(client: TestClient) -> None:
    body = form_body(("subject_id", b"ada"), ("images", png(50)), ("images", png(50, 1)))
    second_image = body.rindex(b"--x\r\n")
    for end in (second_image, second_image + 20, len(body) - 100, len(body) - 8, len(body) - 3):
        response = client.post("/v1/enroll", content=body[:end], headers=FORM_HEADERS)
        assert_problem(response, 400, "closing boundary", "send it whole")
    assert_problem(client.get("/v1/subjects/ada"), 404)
    whole = client.post("/v1/enroll", content=body + b"epilogue", headers=FORM_HEADERS)
    assert whole.status_code == 201
    assert len(whole.json()["quality"]) == 2


@pytest.mark.parametrize("path", ["/v1/enroll", "/v1/identify", "/v1/verify"])
def test_an_unknown_field_of_a_form_is_named_and_corrected(
    shared_client: TestClient, path: str
) -> None:
    known = {} if path == "/v1/identify" else {"subject_id": "ada"}
    files = [*images(png(50)), ("image", ("palm.png", png(50), "image/png"))]
    response = shared_client.post(path, data={**known, "hnd": "left"}, files=files)
    assert_problem(response, 422, "image: is unknown; did you mean images?", "hnd: is unknown")
    assert [error["field"] for error in response.json()["errors"]] == ["hnd", "image"]
    assert len(response.text) < 1000
    assert_problem(shared_client.get("/v1/subjects/ada"), 404)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_refused(shared_client: TestClient, declared: bool) -> None:
    body = b"x" * (2**20 + 1)
    response = shared_client.post(
        "/v1/identify",
        content=body if declared else iter([body[: 2**19], body[2**19 :]]),
        headers=FORM_HEADERS,
    )
    assert_problem(response, 413, str(2**20))


def test_every_outcome_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "app")
    answers = [
        identify(client, png(2)),
        identify(client, png(50)),
        verify(client, "p001", png(2)),
        enroll(client, "ada", png(50), png(50, 1)),
    ]
    lines = [record for record in caplog.records if record.name == "app.api.identify"]
    known, unknown, verified, enrolled = (line.fields for line in lines)
    assert [line.getMessage() for line in lines] == ["identify", "identify", "verify", "enroll"]
    assert [line.fields["request_id"] for line in lines] == [
        answer.headers["x-request-id"] for answer in answers
    ]
    best = answers[0].json()["candidates"][0]
    app: Any = client.app
    of = app.state.pseudonyms.of
    assert (known["decision"], known["subject"]) == ("match", of("p002"))
    assert (known["confidence"], known["score"]) == (best["confidence"], best["score"])
    assert (unknown["decision"], unknown["subject"]) == ("no_match", None)
    assert (verified["decision"], verified["subject"]) == ("no_match", of("p001"))
    assert verified["score"] == answers[2].json()["score"]
    assert (enrolled["subject"], enrolled["images"]) == (of("ada"), 2)


def test_no_image_is_logged(shared_client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "app")
    identify(shared_client, png(1))
    identify(shared_client, b"secret pixels")
    lines = [r.fields for r in caplog.records if r.getMessage() == "request"]
    assert len(lines) == 2
    assert set(lines[0]) == {"method", "path", "status", "ms", "request_id"}
    assert "secret" not in "".join(str(record.__dict__) for record in caplog.records)


def test_the_gallery_file_holds_no_image(client: TestClient, tmp_path: Path) -> None:
    enroll(client, "ada", png(50))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("gallery.db*"))
    assert b"ada" in stored
    assert png(50)[100:200] not in stored
    assert b"secret-file-name" not in stored


def test_an_explanation_shows_a_picture_of_the_match(settings: Settings) -> None:
    willing = settings.model_copy(update={"explain": True})
    with local_client(make_app(willing)) as client:
        files = images(png(2, shot=5))
        answer = client.post("/v1/identify?explain=true", files=files).json()
        drawn = Image.open(BytesIO(base64.b64decode(answer["explanation"])))
        assert (drawn.format, drawn.mode) == ("PNG", "RGB")
        plain = client.post("/v1/identify", files=files).json()
        assert plain["explanation"] is None
        nobody = client.post("/v1/identify?explain=true", files=images(png(50))).json()
        assert nobody["explanation"] is None


def test_an_explanation_is_refused_unless_the_operator_allows_it(
    shared_client: TestClient,
) -> None:
    response = shared_client.post("/v1/identify?explain=true", files=images(png(2)))
    assert_problem(response, 403, "PALM_EXPLAIN=true")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "image/png", ""])
@pytest.mark.parametrize("path", ["/v1/identify", "/v1/enroll", "/v1/verify", "/v1/inspect"])
def test_a_body_that_is_no_form_is_refused(
    settings: Settings, path: str, content_type: str
) -> None:
    with live(make_app(settings)) as server:
        url = f"http://127.0.0.1:{server.config.port}{path}"
        headers = {"Content-Type": content_type} if content_type else {}
        answer = httpx.post(url, content=png(1), headers=headers, trust_env=False)
    assert_problem(answer, 422, "images", "multipart/form-data")
