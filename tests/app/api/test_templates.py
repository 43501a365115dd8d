"""Single templates, repeated requests, confirmation, and changes that meet."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from tests.app.api.conftest import (
    ToyNet,
    assert_problem,
    enroll,
    identify,
    images,
    load_only,
    local_client,
    make_app,
    png,
)

KEY = "3c6a1f0e-8d1b-4c1e-9a55"


def send(client: TestClient, subject_id: str, *files: bytes, key: str = KEY, **fields: str) -> Any:
    """Enrolls with an idempotency key."""
    data, headers = {"subject_id": subject_id, **fields}, {"Idempotency-Key": key}
    return client.post("/v1/enroll", data=data, files=images(*files), headers=headers)


def templates(client: TestClient, subject_id: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/subjects/{subject_id}/templates").raise_for_status().json()["templates"]


def test_templates_are_listed_and_erased_one_by_one(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), png(50, 1)).status_code == 201
    assert enroll(client, "ada", png(60), add="true", force="true").status_code == 201
    first, second, wrong = templates(client, "ada")
    assert {one["capture"] for one in (first, second, wrong)} == {"roi"}
    assert len(wrong["nets"]) == 3
    assert identify(client, png(60, 1)).json()["identity"]["subject_id"] == "ada"

    receipt = client.delete(f"/v1/subjects/ada/templates/{wrong['number']}").json()

    assert receipt["erased"] == "template"
    assert {receipt[medium] for medium in ("database", "log", "index", "memory")} == {"done"}
    assert client.get(f"/v1/erasures/{receipt['erasure_id']}").json() == receipt
    assert set(client.get("/v1/subjects/ada").json()["template_counts"].values()) == {2}
    assert templates(client, "ada") == [first, second]
    assert identify(client, png(60, 1)).json()["decision"] == "no_match"
    assert identify(client, png(50, 2)).json()["identity"]["subject_id"] == "ada"


def test_a_template_that_cannot_be_erased_stays(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    (only,) = templates(client, "ada")
    path = "/v1/subjects/ada/templates"
    assert_problem(client.delete(f"{path}/{only['number']}"), 409, "erase the subject instead")
    assert_problem(client.delete(f"{path}/{only['number'] + 1}"), 404, "no template")
    assert_problem(client.delete("/v1/subjects/eve/templates/1"), 404, "'eve'")
    assert_problem(client.get("/v1/subjects/eve/templates"), 404, "'eve'")
    for number in ("0", "-1", "one", str(2**63)):
        assert_problem(client.delete(f"{path}/{number}"), 422, "number")
    assert templates(client, "ada") == [only]


def test_a_repeated_enrolment_is_done_once_also_after_a_restart(settings: Settings) -> None:
    with local_client(make_app(settings)) as client:
        first = send(client, "ada", png(50), png(50, 1), name="Ada")
        again = send(client, "ada", png(50), png(50, 1), name="Ada")
    with local_client(make_app(settings)) as client:
        later = send(client, "ada", png(50), png(50, 1), name="Ada")
        assert len(templates(client, "ada")) == 2
        assert_problem(enroll(client, "ada", png(50)), 409)  # without the key it is another one
    for answer in (again, later):
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == first.headers["location"]
        for field in ("subject", "regions", "quality", "warnings"):
            assert answer.json()[field] == first.json()[field]


def test_a_request_that_is_sent_again_while_it_is_computed_is_done_once(
    settings: Settings,
) -> None:
    sendings = 4
    together = Barrier(sendings)

    class Slow(ToyNet):
        def maps(self, images: Any) -> Any:
            together.wait(timeout=20)  # until all of them have looked for an earlier one
            return super().maps(images)

    app = make_app(
        settings.model_copy(update={"max_concurrent": sendings}), load_only(Slow("vgg16", 1))
    )
    with local_client(app) as client, ThreadPoolExecutor(sendings) as pool:
        sent = [pool.submit(send, client, "ada", png(50)) for _ in range(sendings)]
        answers = [one.result() for one in sent]
        assert [one.status_code for one in answers] == [201] * sendings
        assert len(templates(client, "ada")) == 1


def test_another_request_under_the_same_key_is_refused(client: TestClient) -> None:
    assert send(client, "ada", png(50)).status_code == 201
    for subject_id, file, fields in (
        ("eve", png(50), {}),
        ("ada", png(51), {}),
        ("ada", png(50), {"name": "Ada"}),
    ):
        assert_problem(send(client, subject_id, file, **fields), 422, "another request")
    assert send(client, "eve", png(51), key=KEY + "x").status_code == 201
    assert_problem(client.get("/v1/subjects/bob"), 404)


def test_a_key_that_could_be_guessed_is_refused(client: TestClient) -> None:
    for key in ("1", "x" * 201):
        assert_problem(send(client, "ada", png(50), key=key), 422, "idempotency-key")


def test_neither_the_idempotency_key_nor_the_image_can_be_found_in_the_gallery(
    client: TestClient, tmp_path: Path
) -> None:
    assert send(client, "ada", png(50)).status_code == 201
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("gallery.db*"))
    assert KEY.encode() not in stored


def test_a_trained_identity_is_erased_only_if_that_is_confirmed(client: TestClient) -> None:
    assert_problem(client.delete("/v1/subjects/p001"), 409, "'p001'", "confirm=true", "for good")
    assert identify(client, png(1, 1)).json()["identity"]["subject_id"] == "p001"
    assert client.delete("/v1/subjects/p001?confirm=true").status_code == 200
    assert identify(client, png(1, 1)).json()["decision"] == "no_match"
    assert enroll(client, "ada", png(50)).status_code == 201
    assert client.delete("/v1/subjects/ada").status_code == 200


def test_a_change_of_what_has_changed_is_refused(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    tag = client.get("/v1/subjects/ada").headers["etag"]
    assert client.get("/v1/subjects/ada").headers["etag"] == tag
    changed = client.patch("/v1/subjects/ada", json={"name": "Ada"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] == client.get("/v1/subjects/ada").headers["etag"] != tag
    late = client.patch("/v1/subjects/ada", json={"name": "Eve"}, headers={"If-Match": tag})
    assert_problem(late, 412, "'ada' has changed")
    assert client.get("/v1/subjects/ada").json()["name"] == "Ada"
    any_state = client.patch("/v1/subjects/ada", json={"name": "Bob"}, headers={"If-Match": "*"})
    assert any_state.json()["name"] == "Bob"


def test_subjects_are_found_by_name_and_origin(client: TestClient) -> None:
    for number, name in enumerate(("Ärla Öst", "ärlind", "Bob", None)):
        fields = {"name": name} if name else {}
        assert enroll(client, f"s{number}", png(50 + number), **fields).status_code == 201
    client.patch("/v1/subjects/p002", json={"name": "Ärl"}).raise_for_status()

    def ids(**query: Any) -> list[str]:
        page = client.get("/v1/subjects", params=query).raise_for_status().json()
        return [one["subject_id"] for one in page["subjects"]]

    assert ids(name="ÄRL") == ["p002", "s0", "s1"]
    assert ids(name="ärl", origin="enrolled") == ["s0", "s1"]
    assert ids(origin="trained") == ["p001", "p002", "p003"]
    assert ids(name="nobody") == []
    first = client.get("/v1/subjects", params={"name": "ärl", "limit": 1}).json()
    assert first["next"] == "p002"
    assert ids(name="ärl", after=first["next"], limit=1) == ["s0"]
    assert_problem(client.get("/v1/subjects", params={"origin": "stolen"}), 422, "origin")


def test_the_trained_identities_can_be_left_out(settings: Settings) -> None:
    with local_client(make_app(settings)) as client:
        assert client.get("/health/ready").json()["subjects"] == 3
    with local_client(make_app(settings.model_copy(update={"trained": False}))) as client:
        assert client.get("/health/ready").json()["subjects"] == 0
        assert client.get("/v1/subjects").json()["subjects"] == []
        assert identify(client, png(1, 1)).json()["decision"] == "no_match"
        assert enroll(client, "ada", png(1)).status_code == 201
    with local_client(make_app(settings)) as client:
        assert client.get("/health/ready").json()["subjects"] == 4


@pytest.mark.parametrize("method", ["get", "delete"])
def test_the_path_of_a_template_belongs_to_one_subject(client: TestClient, method: str) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    assert enroll(client, "eve", png(51), png(51, 1)).status_code == 201
    number = templates(client, "ada")[0]["number"]
    answer = client.request(method, f"/v1/subjects/eve/templates/{number}")
    assert answer.status_code in {404, 405}
    assert len(templates(client, "eve")) == 2
