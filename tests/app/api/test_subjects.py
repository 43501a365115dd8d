"""The gallery over HTTP."""

import pytest
from fastapi.testclient import TestClient

from tests.app.api.conftest import assert_problem, images, png


def enroll(client: TestClient, subject_id: str, seed: int) -> None:
    response = client.post("/v1/enroll", data={"subject_id": subject_id}, files=images(png(seed)))
    assert response.status_code == 201


def test_subjects_are_listed_page_by_page(client: TestClient) -> None:
    enroll(client, "ada", 50)
    first = client.get("/v1/subjects", params={"limit": 3}).json()
    assert [s["subject_id"] for s in first["subjects"]] == ["ada", "p001", "p002"]
    rest = client.get("/v1/subjects", params={"limit": 3, "after": first["next"]}).json()
    assert [s["subject_id"] for s in rest["subjects"]] == ["p003"]
    assert rest["next"] is None


def test_a_full_last_page_has_no_next(shared_client: TestClient) -> None:
    page = shared_client.get("/v1/subjects", params={"limit": 3}).json()
    assert len(page["subjects"]) == 3
    assert page["next"] is None


def test_the_limit_is_limited(shared_client: TestClient) -> None:
    for limit in ("0", "1001", "many"):
        assert_problem(
            shared_client.get("/v1/subjects", params={"limit": limit}), 422, "limit", limit
        )


def test_a_subject_is_shown_and_changed(client: TestClient) -> None:
    assert client.get("/v1/subjects/p001").json()["name"] is None
    changed = client.patch("/v1/subjects/p001", json={"name": "Ada", "hand": "right"}).json()
    assert (changed["name"], changed["hand"]) == ("Ada", "right")
    cleared = client.patch("/v1/subjects/p001", json={"name": None}).json()
    assert (cleared["name"], cleared["hand"]) == (None, "right")
    assert client.get("/v1/subjects/p001").json() == cleared


def test_a_wrong_change_is_refused(shared_client: TestClient) -> None:
    for changes in (
        {"origin": "trained"},
        {"hand": "both"},
        {"name": "n" * 201},
        {"name": "a\u202eb"},
    ):
        response = shared_client.patch("/v1/subjects/p001", json=changes)
        assert_problem(response, 422, next(iter(changes)))


def test_an_unknown_field_of_a_change_is_named_with_the_nearest_known_one(
    shared_client: TestClient,
) -> None:
    response = shared_client.patch("/v1/subjects/p001", json={"nmae": "Ada"})
    assert_problem(response, 422, "nmae: is unknown; did you mean name?")


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"[]", b"null", b"name=Ada"])
def test_a_change_that_is_no_json_object_is_refused(shared_client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = shared_client.patch("/v1/subjects/p001", content=body, headers=headers)
    assert_problem(response, 422, "must be a JSON object")
    assert [error["field"] for error in response.json()["errors"]] == ["body"]


def test_a_change_that_is_no_text_is_refused(shared_client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    response = shared_client.patch("/v1/subjects/p001", content=b"{\xff", headers=headers)
    assert_problem(response, 400, "/docs")


def test_an_unknown_subject_is_404(shared_client: TestClient) -> None:
    assert_problem(shared_client.get("/v1/subjects/ghost"), 404, "ghost")
    assert_problem(shared_client.get("/v1/subjects/" + "z" * 256), 422, "subject_id", "at most 255")
    assert_problem(shared_client.patch("/v1/subjects/ghost", json={"name": "x"}), 404, "ghost")
    assert_problem(shared_client.delete("/v1/subjects/ghost"), 404, "ghost")


def test_an_erased_palm_is_nobodys(client: TestClient) -> None:
    enroll(client, "ada", 50)
    for subject_id, seed in (("ada", 50), ("p002", 2)):
        identify = images(png(seed, 3))
        assert client.post("/v1/identify", files=identify).json()["decision"] == "match"
        assert client.delete(f"/v1/subjects/{subject_id}").status_code == 204
        assert client.post("/v1/identify", files=identify).json()["decision"] == "no_match"
        assert_problem(client.get(f"/v1/subjects/{subject_id}"), 404)
