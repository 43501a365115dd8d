"""The whole service over real HTTP: shipped nets, sample palms, restarts, damaged files."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from benchmarks.server import COMMAND, REPOSITORY, environment
from tests.e2e.conftest import KNOWN, STRANGERS, Start, shots_of

PROBLEM = "application/problem+json"
MODELS = REPOSITORY / "models_store"


def send(http: httpx.Client, route: str, images: list[Path], **fields: str) -> httpx.Response:
    files = [("images", (path.name, path.read_bytes(), "image/png")) for path in images]
    return http.post(f"/v1/{route}", files=files, data=fields)


def identify(http: httpx.Client, *images: Path) -> dict[str, Any]:
    answer = send(http, "identify", list(images))
    assert answer.status_code == 200, answer.text
    return answer.json()


def who(http: httpx.Client, *images: Path) -> str | None:
    """Returns the subject_id, or the decision if it is no match."""
    found = identify(http, *images)
    return found["identity"]["subject_id"] if found["decision"] == "match" else found["decision"]


def subject_ids(http: httpx.Client) -> list[str]:
    page = http.get("/v1/subjects", params={"limit": 1000}).raise_for_status().json()
    return [subject["subject_id"] for subject in page["subjects"]]


def test_the_samples_are_as_many_as_the_claims_need() -> None:
    assert len(shots_of(KNOWN)) >= 16
    assert all(shots_of(KNOWN).values())
    assert len(shots_of(STRANGERS)) >= 4
    assert {len(shots) for shots in shots_of(STRANGERS).values()} == {4}


def test_every_known_palm_is_identified(service: httpx.Client) -> None:
    found = {path: who(service, path) for shots in shots_of(KNOWN).values() for path in shots}
    wrong = {str(path): name for path, name in found.items() if name != path.parent.name}
    assert found
    assert wrong == {}


def test_every_strangers_palm_is_nobodys(service: httpx.Client) -> None:
    found = {path: who(service, path) for shots in shots_of(STRANGERS).values() for path in shots}
    assert found
    assert {str(path): name for path, name in found.items() if name != "no_match"} == {}


def test_an_answer_holds_every_nets_vote_and_ranked_candidates(service: httpx.Client) -> None:
    name, shots = next(iter(shots_of(KNOWN).items()))
    answer = identify(service, shots[0])
    similarities = [candidate["similarity"] for candidate in answer["candidates"]]
    assert {vote["net"] for vote in answer["nets"]} == set(Settings.model_fields["nets"].default)
    assert similarities == sorted(similarities, reverse=True)
    assert answer["candidates"][0]["subject_id"] == name
    assert 0.5 <= answer["confidence"] <= 1


def test_verify_accepts_the_owner_and_refuses_another_subject(service: httpx.Client) -> None:
    (owner, shots), (other, _) = list(shots_of(KNOWN).items())[:2]
    decisions = [
        send(service, "verify", [shots[0]], subject_id=claimed).json()["decision"]
        for claimed in (owner, other)
    ]
    assert decisions == ["match", "no_match"]


def test_an_enrolled_stranger_is_identified_after_a_restart_until_deleted(
    start: Start, log: Path
) -> None:
    *enrolled, probe = next(iter(shots_of(STRANGERS).values()))
    with start() as http:
        answer = send(http, "enroll", enrolled, subject_id="guest", name="Guest")
        assert answer.status_code == 201, answer.text
        assert who(http, probe) == "guest"

    with start() as http:
        nets = [f"{net['net']}/{net['version']}" for net in http.get("/v1/models").json()["nets"]]
        assert who(http, probe) == "guest"
        assert http.delete("/v1/subjects/guest").status_code == 204
        assert who(http, probe) == "no_match"

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ready = [line for line in lines if line["message"] == "ready"]
    assert [(line["nets"], line["subjects"]) for line in ready] == [(nets, 160), (nets, 161)]
    outcomes = [line["subject_id"] for line in lines if line["message"] == "identify"]
    assert outcomes == ["guest", "guest", None]
    assert lines[-1]["message"].startswith("Finished")


def test_a_service_with_broken_parts_is_up_and_names_them(
    start: Start, gallery: Path, tmp_path: Path
) -> None:
    models = Path(shutil.copytree(MODELS, tmp_path / "models_store"))
    weights = next(models.glob("vgg16/*/variables/variables.data-*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    content = b"SQLite format 3\0" + os.urandom(8192)
    gallery.write_bytes(content)

    with start(until="/health/live", PALM_MODELS_DIR=str(models)) as http:
        answers = [http.get("/health/ready"), send(http, "identify", [next(KNOWN.rglob("*.png"))])]

    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == PROBLEM
        assert str(weights) in answer.json()["detail"]
        assert str(gallery) in answer.json()["detail"]
    assert gallery.read_bytes() == content


def test_a_busy_port_ends_the_start_with_one_line(service: httpx.Client, tmp_path: Path) -> None:
    ended = subprocess.run(
        COMMAND,
        cwd=tmp_path,
        env=environment({"PALM_PORT": str(service.base_url.port)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f"port {service.base_url.port}" in line
    assert not list(tmp_path.iterdir())


def test_a_body_cut_off_by_the_caller_stores_nothing(service: httpx.Client) -> None:
    before = subject_ids(service)
    request = service.build_request(
        "POST",
        "/v1/enroll",
        files=[("images", ("palm.png", next(KNOWN.rglob("*.png")).read_bytes(), "image/png"))] * 2,
        data={"subject_id": "intruder"},
    )
    body = request.read()

    def send_most() -> Iterator[bytes]:
        for start in range(0, len(body) - 9, 4096):
            yield body[start : min(start + 4096, len(body) - 9)]

    answer = service.post(
        "/v1/enroll",
        content=send_most(),
        headers={"content-type": request.headers["content-type"]},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert subject_ids(service) == before


def encoded(image: Image.Image, file_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def grey(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height))


@pytest.mark.parametrize(
    ("image", "status", "said"),
    [
        pytest.param(encoded(grey(224, 224), "PNG")[:200], 422, "truncated", id="truncated"),
        pytest.param(encoded(grey(10_000, 5_000), "PNG"), 413, "pixels", id="50 megapixels"),
        pytest.param(b"x" * (33 * 2**20), 413, "larger than", id="body over the limit"),
    ],
)
def test_a_bad_image_is_a_clear_problem_and_stores_nothing(
    service: httpx.Client, image: bytes, status: int, said: str
) -> None:
    before = subject_ids(service)

    answer = service.post(
        "/v1/enroll",
        files=[("images", ("palm.png", image, "image/png"))],
        data={"subject_id": "intruder"},
    )

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert said in answer.text
    assert subject_ids(service) == before
