"""What the audit log tells of requests, and what it does not."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.access.key_ring import KeyRing
from app.access.keys import Scope
from app.audit.check import check_audit
from app.audit.log import head_of
from app.audit.pseudonyms import Pseudonyms
from app.gallery.encryption.secret_keys import Secrets
from app.settings import Settings
from app.wiring import open_gallery
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    identify,
    images,
    local_client,
    make_app,
    png,
    verify,
)
from tests.app.api.test_access import bearer, guarded_routes, key, send

Line = dict[str, Any]


@pytest.fixture
def file(settings: Settings) -> Path:
    assert settings.audit_file is not None
    return settings.audit_file


def told(file: Path, *, since: int = 0) -> list[Line]:
    """Returns the lines about requests, without what every line has."""
    common = {"number", "time", "previous", "mac", "request_id"}
    read = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in common}
        for line in read[since:]
        if "request_id" in line
    ]


def secrets_of(settings: Settings) -> Secrets:
    with closing(open_gallery(settings)) as gallery:
        return gallery.secrets


def spoil(file: Path) -> None:
    """Lets every write to the log fail."""
    file.unlink()
    file.mkdir()


def test_every_guarded_route_is_audited(settings: Settings, file: Path) -> None:
    with local_client(make_app(settings)) as client:
        for method, path in guarded_routes().keys() - {("GET", "/metrics")}:
            before = len(told(file))
            answer = send(client, method, path)
            *begun, done = told(file, since=1)[before:]
            assert (done["method"], done["route"]) == (method, path)
            assert (done["status"], done["caller"]) == (answer.status_code, "local")
            assert done["address"] == "127.0.0.1"
            assert done["scope"] == guarded_routes()[method, path]
            assert [one["phase"] for one in begun] == (["begun"] if "phase" in done else [])
            assert ("phase" in done) == (
                (method, path.split("/")[2]) != ("POST", "inspect")
                and method in {"POST", "PATCH", "DELETE"}
                and path not in {"/v1/identify", "/v1/identify/batch", "/v1/verify"}
            )
    assert check_audit(file, secrets_of(settings).audit).findings == []


def test_a_change_s_first_lines_name_whomever_its_last_line_names(
    client: TestClient, settings: Settings, file: Path
) -> None:
    enroll(client, "ada", png(50))
    enroll(client, "eve", png(60))
    client.post("/v1/subjects/ada/rename", json={"subject_id": "ida"})
    client.post("/v1/subjects/ida/merge", json={"from": "eve", "force": True})
    client.patch("/v1/subjects/ida", json={"hand": "left"})
    client.delete("/v1/subjects/ida")
    fields = {"subject", "new_subject", "other_subject"}
    named = [(one["phase"], {of: one[of] for of in fields & one.keys()}) for one in told(file)]
    before: list[dict[str, str]] = [{}]
    for phase, subjects in named:
        if phase == "done":
            assert subjects
            assert before[-1] == subjects
        before.append(subjects)
    assert [phase for phase, _ in named].count("done") == 6


def test_outcomes_are_told_with_pseudonyms(
    client: TestClient, settings: Settings, file: Path
) -> None:
    answers = [
        enroll(client, "ada-left", png(50), name="Ada Byron"),
        enroll(client, "ada-left", png(50)),
        identify(client, png(50)),
        identify(client, png(70)),
        verify(client, "ada-left", png(50)),
        client.patch("/v1/subjects/ada-left", json={"name": "Ada Byron"}),
        client.delete("/v1/subjects/ada-left"),
        client.get("/v1/subjects/ada-left"),
    ]
    ada = Pseudonyms(secrets_of(settings).pseudonyms).of("ada-left")
    ended = [one for one in told(file) if "status" in one]
    found = [(one["status"], one.get("decision"), one.get("subject")) for one in ended]
    assert found == [
        (201, None, ada),
        (409, None, ada),
        (200, "match", ada),
        (200, "no_match", None),
        (200, "match", ada),
        (200, None, ada),
        (200, None, ada),
        (404, None, ada),
    ]
    ids = [json.loads(line).get("request_id") for line in file.read_text().splitlines()]
    assert all(answer.headers["x-request-id"] in ids for answer in answers)


@pytest.fixture
def refusing(settings: Settings) -> Iterator[TestClient]:
    """A service with a key that sends one request an hour."""
    app = make_app(settings.model_copy(update={"rate_limit": "1/hour"}))
    with local_client(app) as client:
        yield client


def test_refused_requests_are_audited(refusing: TestClient, file: Path) -> None:
    made = key(refusing, "identify")
    key_id = made["Authorization"].split("_")[1]
    start = len(told(file))
    for headers in (made, made, {}, bearer("palm_00000000_" + "x" * 43)):
        refusing.delete("/v1/subjects/ada", headers=headers)
    refusing.delete("/v1/subjects/ada", headers={"Origin": "https://evil.example"})
    refusing.delete("/v1/ada", headers={"Origin": "https://evil.example"})
    refusing.get("/health/live", headers={"Host": "evil.example"})
    refused = told(file)[start:]
    assert [(one["status"], one["caller"], one["route"]) for one in refused] == [
        (403, key_id, "/v1/subjects/{subject_id}"),
        (429, key_id, "/v1/subjects/{subject_id}"),
        (401, "unknown", "/v1/subjects/{subject_id}"),
        (429, "unknown", "/v1/subjects/{subject_id}"),
        (403, "unknown", "/v1/subjects"),
    ]
    assert not [one for one in refused if "phase" in one]  # nothing was begun


def test_an_address_of_any_length_is_cut(settings: Settings, file: Path) -> None:
    with local_client(make_app(settings), client=("é" * 9999, 1)) as client:
        assert client.get("/v1/subjects").status_code == 401
    assert told(file)[-1]["address"] == "é" * 64


def test_keys_are_told_by_their_ids(client: TestClient, file: Path) -> None:
    made = client.post("/v1/keys", json={"name": "Ada Byron", "scopes": ["admin"]}).json()
    headers = bearer(made["api_key"])
    client.delete("/v1/keys/ada-left", headers=headers)
    client.delete(f"/v1/keys/{made['key_id']}", headers=headers)
    ended = [(one["status"], one["key"]) for one in told(file) if "status" in one]
    assert ended == [(201, made["key_id"]), (404, "none of this form"), (200, made["key_id"])]


def test_neither_log_holds_an_id_a_name_a_file_or_a_key(
    settings: Settings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "app")
    with local_client(make_app(settings)) as client:
        for refused in ({}, {"add": "true"}, {"hand": "both"}, {"force": "true"}):
            enroll(client, "ada-left", png(50), name="Ada Byron", **refused)
        enroll(client, "eve-left", png(50))
        identify(client, png(50), b"no image")
        identify(client, png(50))
        verify(client, "ada-left", png(50))
        verify(client, "ada-left", png(70))
        for path in ("ada-left", "ada-left/templates", "ada-left/nothing", "ada-left/templates/1"):
            for method in ("GET", "PATCH", "DELETE", "POST", "HEAD"):
                client.request(method, f"/v1/subjects/{path}", json={"name": "Ada Byron"})
        client.get("/v1/subjects", params={"name": "Ada", "after": "ada-left"})
        secret = key(client, "read")["Authorization"].split("_", 2)[2]
    logged = "".join(str(record.__dict__) for record in caplog.records)
    assert Pseudonyms(secrets_of(settings).pseudonyms).of("ada-left") in logged
    for text in (logged, file.read_text()):
        for hidden in ("ada-left", "eve-left", "Ada", "secret-file-name", secret):
            assert hidden not in text


def test_nothing_is_changed_while_the_log_cannot_be_written(
    client: TestClient, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    before = client.get("/v1/subjects/ada").json()
    spoil(file)
    assert_problem(enroll(client, "eve", png(60)), 503, "the audit log cannot be used")
    for method, path in guarded_routes():
        if method in {"PATCH", "DELETE"}:
            answer = client.request(
                method, path.format(subject_id="ada", key_id="0" * 8, number=1), json={"name": "x"}
            )
            assert_problem(answer, 503, "the audit log cannot be used")
            assert str(file) not in answer.text
    created = client.post("/v1/keys", json={"name": "ops", "scopes": ["read"]})
    assert_problem(created, 503, "the audit log cannot be used")
    assert str(file) in caplog.text
    file.rmdir()  # the service recovers by itself
    assert client.get("/v1/subjects/ada").json() == before
    assert client.get("/v1/subjects/eve").status_code == 404
    assert client.get("/v1/keys").json() == {"keys": []}


def test_nothing_is_answered_that_is_not_audited(client: TestClient, file: Path) -> None:
    spoil(file)
    for answer in (
        identify(client, png(2)),
        verify(client, "p001", png(2)),
        client.get("/v1/subjects"),
        client.get("/v1/subjects/p001"),
    ):
        assert_problem(answer, 503, "the audit log cannot be used")
        assert "p002" not in answer.text
        assert "decision" not in answer.text
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_a_change_that_was_begun_is_answered_although_its_end_cannot_be_written(
    client: TestClient, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    create = KeyRing.create

    def create_and_spoil(ring: KeyRing, name: str, scopes: list[Scope], *further: Any) -> Any:
        made = create(ring, name, scopes, *further)
        file.rename(file.with_name("moved"))
        file.mkdir()
        return made

    monkeypatch.setattr(KeyRing, "create", create_and_spoil)
    created = client.post("/v1/keys", json={"name": "ops", "scopes": ["read"]})
    assert created.status_code == 201
    assert told(file.with_name("moved"))[-1]["phase"] == "begun"
    assert "not in the audit log" in caplog.text


def test_without_a_log_requests_are_answered_and_ids_stay_hidden(
    settings: Settings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app")
    app = make_app(settings.model_copy(update={"audit_file": None}))
    with local_client(app) as client:
        assert enroll(client, "ada-left", png(50)).status_code == 201
        assert client.get("/v1/subjects/ada-left").status_code == 200
    assert not file.exists()
    assert not head_of(file).exists()
    assert "ada-left" not in "".join(str(record.__dict__) for record in caplog.records)


def test_a_start_is_audited_and_a_first_key(settings: Settings, file: Path) -> None:
    app = make_app(settings.model_copy(update={"host": "0.0.0.0"}))
    for _ in range(2):
        with local_client(app):
            pass
    read = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["action"], one.get("phase")) for one in read] == [
        ("start", None),
        ("keys create first", "begun"),
        ("keys create first", "done"),
        ("start", None),
    ]


def test_a_log_that_cannot_be_written_is_named_at_the_start(
    settings: Settings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.mkdir()
    with local_client(make_app(settings)) as client:
        assert f"not ready: audit log {file} cannot be written" in caplog.text
        form: Any = {"files": images(png(2))}
        assert_problem(client.post("/v1/identify", **form), 503)


def test_a_stranger_cannot_fill_the_log(settings: Settings, file: Path) -> None:
    with TestClient(make_app(settings), base_url="http://localhost") as stranger:
        before = len(told(file))
        for _ in range(100):
            assert stranger.get("/v1/subjects").status_code == 401
        other = {"Host": "evil.example"}
        for _ in range(100):
            assert stranger.get("/v1/subjects", headers=other).status_code == 421
    assert len(told(file)) - before == 60
