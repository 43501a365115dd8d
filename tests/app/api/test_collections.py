"""Collections over HTTP: where palms are enrolled and searched, and by whom."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.access.keys import SCOPES, Scope
from tests.app.api.conftest import assert_problem, enroll, identify, images, png, verify
from tests.app.api.test_access import bearer, ring_of

ALL = tuple(scope for scope in SCOPES if scope != "admin")


def limited(client: TestClient, *collections: str, scopes: tuple[Scope, ...] = ALL) -> Any:
    """Creates a key that is limited to some collections, and returns the header that sends it."""
    return bearer(ring_of(client).create("test", scopes, collections=collections)[1])


def send(client: TestClient, path: str, headers: Any, *files: bytes, **fields: Any) -> Any:
    return client.post(f"/v1/{path}", data=fields, files=images(*files), headers=headers)


def best(answer: Any) -> list[str]:
    return [one["subject_id"] for one in answer.json()["candidates"]]


def test_a_search_may_be_limited_to_collections(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    assert enroll(client, "bob", png(60), collection="guests").status_code == 201
    everybody = identify(client, png(50, 1)).json()
    staff = send(client, "identify", {}, png(50, 1), collections="staff")
    both = send(client, "identify", {}, png(60, 1), collections=["staff", "guests"])
    assert (best(staff), staff.json()["identity"]["collection"]) == (["ada"], "staff")
    assert (sorted(best(both)), both.json()["decision"]) == (["ada", "bob"], "match")
    assert [one["searched"] for one in (everybody, staff.json(), both.json())] == [5, 1, 2]
    # The threshold is that of the subjects searched: a false match is less likely among fewer.
    assert staff.json()["threshold"]["fmr"] > everybody["threshold"]["fmr"]
    elsewhere = send(client, "identify", {}, png(50, 1), collections="guests").json()
    assert (elsewhere["decision"], elsewhere["identity"]) == ("no_match", None)


def test_nobody_is_in_an_unknown_collection(client: TestClient) -> None:
    found = send(client, "identify", {}, png(1, 1), collections="nowhere").json()
    assert (found["decision"], found["candidates"], found["searched"]) == ("no_match", [], 0)
    listed = client.get("/v1/subjects", params={"collection": "nowhere"}).json()
    assert listed == {"subjects": [], "next": None, "without_templates": 0}


def test_an_empty_field_of_collections_is_left_out(shared_client: TestClient) -> None:
    found = send(shared_client, "identify", {}, png(1, 1), collections="").json()
    assert found["searched"] == 3


@pytest.mark.parametrize("name", ["Staff", "-staff", "a b", "x" * 65, "ä", "staff\n", "a/b"])
def test_a_name_that_cannot_be_one_is_refused(shared_client: TestClient, name: str) -> None:
    for answer in (
        enroll(shared_client, "ada", png(50), collection=name),
        send(shared_client, "identify", {}, png(50), collections=name),
        shared_client.get("/v1/subjects", params={"collection": name}),
        shared_client.patch("/v1/subjects/p001", json={"collection": name}),
    ):
        assert_problem(answer, 422, "collection")


def test_a_search_names_up_to_20_collections(shared_client: TestClient) -> None:
    names = [f"c{i}" for i in range(21)]
    assert (
        send(shared_client, "identify", {}, png(50), collections=names[:20]).json()["searched"] == 0
    )
    answer = send(shared_client, "identify", {}, png(50), collections=names)
    assert_problem(answer, 422, "collections: ", "at most 20")


def test_a_limited_key_searches_its_collections_only(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    assert enroll(client, "bob", png(60), collection="guests").status_code == 201
    headers = limited(client, "staff", "empty")
    for seed, decision in ((50, "match"), (60, "no_match"), (1, "no_match")):
        found = send(client, "identify", headers, png(seed, 1))
        assert (found.json()["decision"], best(found)) == (decision, ["ada"])
        assert found.json()["searched"] == 1
    inside = send(client, "identify", headers, png(50, 1), collections="empty").json()
    assert (inside["decision"], inside["searched"]) == ("no_match", 0)
    assert send(client, "verify", headers, png(50, 1), subject_id="ada").status_code == 200


def test_a_limited_key_enrolls_into_its_collections_only(client: TestClient) -> None:
    one, two = limited(client, "staff"), limited(client, "staff", "guests")
    made = send(client, "enroll", one, png(50), subject_id="ada")
    assert made.json()["subject"]["collection"] == "staff"
    unnamed = send(client, "enroll", two, png(60), subject_id="bob")
    assert_problem(unnamed, 422, "several collections", "guests, staff")
    made = send(client, "enroll", two, png(60), subject_id="bob", collection="guests")
    assert made.json()["subject"]["collection"] == "guests"
    assert send(client, "enroll", one, png(50, 1), subject_id="ada", add="true").status_code == 201
    assert_problem(send(client, "enroll", one, png(70), subject_id="p001"), 409, "'p001' exists")


def test_a_limited_key_lists_and_counts_its_collections_only(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    assert enroll(client, "bob", png(60), collection="guests").status_code == 201
    headers = limited(client, "staff", "empty")
    listed = client.get("/v1/subjects", headers=headers).json()
    assert [one["subject_id"] for one in listed["subjects"]] == ["ada"]
    filtered = client.get("/v1/subjects", params={"collection": "empty"}, headers=headers).json()
    assert filtered["subjects"] == []
    sizes = client.get("/v1/collections", headers=headers).json()["collections"]
    assert sizes == [
        {"collection": "empty", "subjects": 0},
        {"collection": "staff", "subjects": 1},
    ]


def test_a_palm_may_be_in_several_collections_once_in_each(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    assert enroll(client, "bob", png(1, 1), collection="staff").status_code == 201  # p001's palm
    headers = limited(client, "guests")
    for subject_id in ("ada-2", "ada-3"):
        answer = send(client, "enroll", headers, png(50, 1), subject_id=subject_id)
        assert answer.status_code == (201 if subject_id == "ada-2" else 409), answer.text
    assert_problem(answer, 409, "enrolled as 'ada-2'")


@pytest.mark.parametrize("fields", [{}, {"add": "true"}, {"add": "true", "force": "true"}])
def test_of_another_collection_only_a_taken_id_can_be_learned(
    client: TestClient, fields: dict[str, str]
) -> None:
    assert enroll(client, "Ada", png(50), collection="staff", hand="left").status_code == 201
    headers = limited(client, "guests")
    for subject_id, seed in (("Ada", 50), ("Ada", 70), ("ada", 50)):
        hand = {"hand": "right", "name": "Eve", **fields}
        answer = send(client, "enroll", headers, png(seed, 1), subject_id=subject_id, **hand)
        assert_problem(answer, 409, f"{subject_id!r} exists already", "choose another")
        assert answer.json()["type"].endswith("subject-exists")
        assert "staff" not in answer.text
    subject = client.get("/v1/subjects/Ada", headers=limited(client, "staff")).json()
    assert (subject["hand"], subject["name"]) == ("left", None)
    assert set(subject["template_counts"].values()) == {1}


def test_an_enrolment_that_contradicts_the_collection_is_refused(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    answer = enroll(client, "ada", png(50, 1), add="true", collection="guests")
    assert_problem(answer, 409, "'ada' is in the collection 'staff'")
    for fields in ({}, {"collection": "staff"}):
        assert enroll(client, "ada", png(50, 1), add="true", **fields).status_code == 201


def test_a_subject_is_moved_between_collections_that_the_key_has(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    before = client.get("/v1/subjects/ada").headers["etag"]
    moved = client.patch("/v1/subjects/ada", json={"collection": "staff"})
    assert moved.json()["collection"] == "staff"
    assert moved.headers["etag"] != before
    found = send(client, "identify", {}, png(50, 1), collections="staff")
    assert found.json()["decision"] == "match"
    assert verify(client, "ada", png(50, 1)).json()["decision"] == "match"
    headers = limited(client, "staff", "guests")
    refused = client.patch("/v1/subjects/ada", json={"collection": "default"}, headers=headers)
    assert_problem(refused, 403, "lacks the collection 'default'")
    moved = client.patch("/v1/subjects/ada", json={"collection": "guests"}, headers=headers)
    assert moved.json()["collection"] == "guests"


def test_a_change_of_nothing_is_refused(shared_client: TestClient) -> None:
    answer = shared_client.patch("/v1/subjects/p001", json={})
    assert_problem(answer, 422, "nothing to change", "name", "collection")
    assert [error["field"] for error in answer.json()["errors"]] == ["body"]
    answer = shared_client.patch("/v1/subjects/p001", json={"collection": None})
    assert_problem(answer, 422, "collection")


def test_without_the_scope_read_a_change_shows_nothing_of_the_subject(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), name="Ada").status_code == 201
    headers = limited(client, "default", scopes=("enroll",))
    changed = client.patch("/v1/subjects/ada", json={"hand": "left"}, headers=headers)
    assert (changed.status_code, changed.content) == (204, b"")
    assert "etag" not in changed.headers
    shown = client.get("/v1/subjects/ada", headers=limited(client, "default")).json()
    assert (shown["hand"], shown["name"]) == ("left", "Ada")


def test_a_limited_key_is_created_and_shown(client: TestClient) -> None:
    wanted = {"name": "gate", "scopes": ["identify"], "collections": ["staff", "a", "staff"]}
    refused = client.post("/v1/keys", json={**wanted, "scopes": ["read", "admin"]})
    assert_problem(refused, 422, "collections: ", "'admin' cannot be limited")
    assert_problem(client.post("/v1/keys", json={**wanted, "collections": ["A"]}), 422, "'A'")
    admin = bearer(
        client.post("/v1/keys", json={"name": "a", "scopes": ["admin"]}).json()["api_key"]
    )
    assert_problem(client.post("/v1/keys", json={**wanted, "collections": []}, headers=admin), 422)
    made = client.post("/v1/keys", json=wanted, headers=admin).json()
    assert made["collections"] == ["a", "staff"]
    listed = client.get("/v1/keys", headers=admin).json()["keys"]
    assert [one["collections"] for one in listed] == [None, ["a", "staff"]]
    revoked = client.delete(f"/v1/keys/{made['key_id']}", headers=admin).json()
    assert revoked["collections"] == ["a", "staff"]
