"""The gallery over HTTP."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.gallery.sql import sqlite
from app.settings import Settings
from tests.app.api.conftest import assert_problem, enroll, identify, local_client, make_app, png


def test_subjects_are_listed_page_by_page(client: TestClient) -> None:
    enroll(client, "ada", png(50))
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


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("nmae", "Ada", "nmae: is unknown; did you mean name?"),
        ("origin", "trained", "origin: is unknown"),
        ("hand", "both", "hand: "),
        ("name", "n" * 201, "name: "),
        ("name", "a\u202eb", "name: "),
        ("name", "a\u200bb", "invisible"),
        ("name", "Ada\U000e0041", "invisible"),
        ("name", " \t ", "blank"),
        ("name", "\u3164", "invisible"),
    ],
)
def test_wrong_changes_are_refused(
    shared_client: TestClient, field: str, value: str, words: str
) -> None:
    response = shared_client.patch("/v1/subjects/p001", json={field: value})
    assert_problem(response, 422, words)


def test_a_name_is_composed_and_trimmed(client: TestClient) -> None:
    changed = client.patch("/v1/subjects/p001", json={"name": " Ame\u0301lie "}).json()
    assert changed["name"] == "Am\u00e9lie"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[", b"[]", b"null", b"name=Ada", b"{\xff", b"\0", b"[" * 16_000]
)
def test_a_change_that_is_no_json_object_is_refused(shared_client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = shared_client.patch("/v1/subjects/p001", content=body, headers=headers)
    assert_problem(response, 422, "must be a JSON object")
    assert [error["field"] for error in response.json()["errors"]] == ["body"]


def test_an_unknown_subject_is_404(shared_client: TestClient) -> None:
    assert_problem(shared_client.get("/v1/subjects/ghost"), 404, "ghost")
    assert_problem(shared_client.get("/v1/subjects/" + "z" * 256), 422, "subject_id", "at most 255")
    assert_problem(shared_client.patch("/v1/subjects/ghost", json={"name": "x"}), 404, "ghost")
    assert_problem(shared_client.delete("/v1/subjects/ghost"), 404, "ghost")


def test_an_erased_palm_is_nobodys(client: TestClient) -> None:
    enroll(client, "ada", png(50))
    for subject_id, seed in (("ada", 50), ("p002", 2)):
        assert identify(client, png(seed, 3)).json()["decision"] == "match"
        assert client.delete(f"/v1/subjects/{subject_id}?confirm=true").status_code == 200
        assert identify(client, png(seed, 3)).json()["decision"] == "no_match"
        assert_problem(client.get(f"/v1/subjects/{subject_id}"), 404)


def test_a_locked_gallery_is_told_to_try_again_and_nothing_is_half_done(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
    with local_client(make_app(settings)) as client:
        enroll(client, "ada", png(50))
        before = client.get("/v1/subjects").json(), client.get("/v1/models").json()["gallery"]
        with closing(sqlite3.connect(tmp_path / "gallery.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for response in (
                enroll(client, "bob", png(60)),
                enroll(client, "ada", png(50, 1), add="true"),
                client.patch("/v1/subjects/ada", json={"name": "Ada"}),
                client.delete("/v1/subjects/ada"),
            ):
                assert_problem(response, 503, "locked by another program", "try again")
                assert response.headers["retry-after"] == "1"
            assert identify(client, png(50)).json()["identity"]["subject_id"] == "ada"
        after = client.get("/v1/subjects").json(), client.get("/v1/models").json()["gallery"]
        assert after == before
        assert client.delete("/v1/subjects/ada").status_code == 200
