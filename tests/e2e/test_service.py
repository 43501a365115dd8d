"""The whole service over real HTTP: shipped nets, sample palms, restarts, damaged files."""

import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from benchmarks.server import REPOSITORY, command, environment
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
    """The subject_id, or the decision where nobody was found."""
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


def test_an_enrolled_stranger_is_identified_until_deleted_across_restarts(start: Start) -> None:
    enrolled = {f"guest-{name}": shots for name, shots in shots_of(STRANGERS).items()}
    with start() as http:
        for subject_id, shots in enrolled.items():
            answer = send(http, "enroll", shots[:3], subject_id=subject_id, name="Guest")
            assert answer.status_code == 201, answer.text
        assert {who(http, shots[3]) for shots in enrolled.values()} == set(enrolled)

    with start() as http:
        assert {name: who(http, shots[3]) for name, shots in enrolled.items()} == {
            name: name for name in enrolled
        }
        for subject_id in enrolled:
            assert http.delete(f"/v1/subjects/{subject_id}").status_code == 204
        assert {who(http, shots[3]) for shots in enrolled.values()} == {"no_match"}

    with start() as http:
        assert not set(enrolled) & set(subject_ids(http))
        assert {who(http, shots[3]) for shots in enrolled.values()} == {"no_match"}


def test_a_damaged_net_keeps_the_service_from_being_ready_and_is_named(
    start: Start, tmp_path: Path
) -> None:
    models = Path(shutil.copytree(MODELS, tmp_path / "models_store"))
    weights = next(models.glob("vgg16/*/variables/variables.data-*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")

    with start(until="/health/live", PALM_MODELS_DIR=str(models)) as http:
        ready = http.get("/health/ready")
        palm = next(KNOWN.rglob("*.png"))
        refused = send(http, "identify", [palm])

    for answer in (ready, refused):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == PROBLEM
        assert str(weights) in answer.json()["detail"]


def fail_to_start(gallery: Path) -> str:
    """What a service that must not start says."""
    ended = subprocess.run(
        command(0),
        cwd=REPOSITORY,
        env=environment({"PALM_GALLERY_URL": f"sqlite:///{gallery}"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    return ended.stderr


def test_a_corrupt_gallery_stops_the_start_with_a_clear_line_and_stays_as_it_was(
    gallery: Path,
) -> None:
    content = b"SQLite format 3\0" + os.urandom(8192)
    gallery.write_bytes(content)

    said = fail_to_start(gallery)

    assert str(gallery) in said
    assert "Traceback" not in said
    assert gallery.read_bytes() == content


def test_a_read_only_gallery_stops_the_start_with_a_clear_line_and_stays_as_it_was(
    gallery: Path, start: Start
) -> None:
    with start():
        pass
    content = gallery.read_bytes()
    gallery.chmod(0o444)

    said = fail_to_start(gallery)

    assert f"{gallery} is marked read-only" in said
    assert "Traceback" not in said
    assert gallery.read_bytes() == content


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def grey(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height))


@pytest.mark.parametrize(
    ("images", "status", "said"),
    [
        pytest.param([b"this is no image"], 422, "not a readable image", id="no image"),
        pytest.param([b""], 422, "0 bytes", id="empty"),
        pytest.param([encoded(grey(224, 224), "PNG")[:200]], 422, "truncated", id="truncated"),
        pytest.param([encoded(grey(224, 224), "GIF")], 415, "GIF", id="wrong type"),
        pytest.param([encoded(grey(10_000, 5_000), "PNG")], 413, "pixels", id="50 megapixels"),
        pytest.param([encoded(grey(224, 224).convert("CMYK"), "JPEG")], 422, "CMYK", id="CMYK"),
        pytest.param(
            [
                encoded(
                    grey(224, 224), "WEBP", save_all=True, append_images=[grey(224, 224).rotate(9)]
                )
            ],
            422,
            "several frames",
            id="animated",
        ),
        pytest.param([b"x" * (33 * 2**20)], 413, "larger than", id="body over the limit"),
        pytest.param([], 422, "images", id="no image at all"),
        pytest.param([b"x"] * 11, 422, "images", id="too many"),
    ],
)
def test_a_bad_image_is_a_clear_problem_and_stores_nothing(
    service: httpx.Client, images: list[bytes], status: int, said: str
) -> None:
    before = subject_ids(service)

    answer = service.post(
        "/v1/enroll",
        files=[("images", ("palm.png", image, "image/png")) for image in images] or None,
        data={"subject_id": "intruder"},
    )

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert said in answer.text
    assert subject_ids(service) == before


@pytest.mark.parametrize("subject_id", ["", "a" * 65, "../etc/passwd", "-x", "a b", "ä"])
def test_an_odd_subject_id_is_refused_and_stores_nothing(
    service: httpx.Client, subject_id: str
) -> None:
    before = subject_ids(service)
    answer = send(service, "enroll", [next(KNOWN.rglob("*.png"))], subject_id=subject_id)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert [error["field"] for error in answer.json()["errors"]] == ["subject_id"]
    assert subject_ids(service) == before


def test_enrolling_a_known_subject_needs_add(service: httpx.Client) -> None:
    name, shots = next(iter(shots_of(KNOWN).items()))
    before = service.get(f"/v1/subjects/{name}").json()
    answer = send(service, "enroll", shots[:1], subject_id=name)
    assert answer.status_code == 409
    assert "add=true" in answer.json()["detail"]
    assert service.get(f"/v1/subjects/{name}").json() == before


def test_an_unknown_subject_is_not_found(service: httpx.Client) -> None:
    palm = next(KNOWN.rglob("*.png"))
    assert send(service, "verify", [palm], subject_id="nobody-here").status_code == 404
    assert service.get("/v1/subjects/nobody-here").status_code == 404
    assert service.delete("/v1/subjects/nobody-here").status_code == 404


def test_the_documentation_needs_no_other_host(service: httpx.Client) -> None:
    page = service.get("/docs").raise_for_status().text
    assert "//" not in page.replace("http://127.0.0.1", "").replace("<!-- `", "")
    for path in ("/openapi.json", "/static-offline-docs/swagger-ui-bundle.js"):
        service.get(path).raise_for_status()
