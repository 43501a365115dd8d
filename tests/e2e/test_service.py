"""The whole service over real HTTP: shipped nets, sample palms, restarts, damaged files."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.mark.parametrize("folder", [KNOWN, STRANGERS], ids=["known", "strangers"])
def test_every_sample_is_identified_or_nobody_s(service: httpx.Client, folder: Path) -> None:
    for name, shots in shots_of(folder).items():
        expected = name if folder == KNOWN else "no_match"
        assert {path: who(service, path) for path in shots} == dict.fromkeys(shots, expected)


def test_verify_accepts_the_owner_and_refuses_another_subject(service: httpx.Client) -> None:
    (owner, shots), (other, _) = list(shots_of(KNOWN).items())[:2]
    decisions = [
        send(service, "verify", [shots[0]], subject_id=claimed).json()["decision"]
        for claimed in (owner, other)
    ]
    assert decisions == ["match", "no_match"]


def test_an_enrolled_stranger_is_found_after_a_restart_until_deleted(
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
        assert http.delete("/v1/subjects/guest").status_code == 200
        assert who(http, probe) == "no_match"

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ready = [line for line in lines if line["message"] == "ready"]
    assert [(line["nets"], line["subjects"]) for line in ready] == [(nets, 160), (nets, 161)]
    first, second, third = (line["subject"] for line in lines if line["message"] == "identify")
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert (second, third) == (first, None)  # the pseudonym survives the restart
    audit = (log.parent / "data" / "audit.jsonl").read_text()
    assert first in audit
    assert "guest" not in log.read_text() + audit
    assert lines[-1]["message"].startswith("Finished")


def test_a_service_names_its_broken_parts_in_the_log(
    start: Start, gallery: Path, log: Path, tmp_path: Path
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
        assert str(tmp_path) not in answer.text
    assert "the nets could not be started" in answers[0].json()["detail"]
    for part in (weights, gallery):
        assert str(part) in log.read_text()
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


@pytest.mark.parametrize(
    ("image", "cut", "status"),
    [
        pytest.param(b"x", 9, 400, id="cut off by the caller"),
        pytest.param(b"x" * (33 * 2**20), 0, 413, id="over the limit"),
        pytest.param(b"\x89PNG\r\n\x1a\n", 0, 422, id="truncated image"),
    ],
)
def test_a_bad_upload_is_a_problem_and_stores_nothing(
    service: httpx.Client, image: bytes, cut: int, status: int
) -> None:
    before = subject_ids(service)
    whole = service.build_request(
        "POST", "/v1/enroll", files={"images": ("palm.png", image)}, data={"subject_id": "intruder"}
    )
    body = whole.read()
    headers = {"content-type": whole.headers["content-type"]}

    answer = service.post("/v1/enroll", content=iter([body[: len(body) - cut]]), headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert subject_ids(service) == before
