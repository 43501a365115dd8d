"""Who may do what: keys, scopes, limits, and what a caller without them learns."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from app.access import key_ring
from app.access.key_ring import KeyRing
from app.access.keys import SCOPES, Need, Scope
from app.api.access import Guarded, scope_of
from app.api.routers import ROUTERS
from app.settings import Settings
from benchmarks.server import REPOSITORY
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    identify,
    images,
    local_client,
    make_app,
    make_settings,
    png,
)
from tests.app.conftest import execute

FOR_EVERYBODY = {"/health/live", "/health/ready"}
ELSEWHERE = ("192.0.2.1", 50_000)

PAST = "2020-01-01T00:00:00Z"

Send = Callable[..., Any]


def ring_of(client: TestClient) -> KeyRing:
    app: Any = client.app
    return app.state.service.keys


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key(client: TestClient, *scopes: Scope, expires_at: datetime | None = None) -> dict[str, str]:
    """Creates a key and returns the header that sends it."""
    return bearer(ring_of(client).create("test", scopes, expires_at)[1])


def guarded_routes() -> dict[tuple[str, str], Need]:
    """Returns the scope of every route that needs a key, by method and path."""
    return {
        (method, route.path): scope
        for route in (route for router in ROUTERS for route in router.routes)
        if isinstance(route, APIRoute) and (scope := scope_of(route)) is not None
        for method in route.methods
    }


def send(
    client: TestClient, method: str, path: str, *, subject_id: str = "p001", **options: Any
) -> Any:
    filled = path.format(subject_id=subject_id, key_id="00000000", erasure_id="0", number=1)
    return client.request(method, filled, **options)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that has a key."""
    app = make_app(make_settings(tmp_path_factory.mktemp("locked")))
    with local_client(app) as client:
        key(client, "admin")
        yield client


def test_every_route_but_the_health_s_needs_a_scope(locked: TestClient) -> None:
    ours = locked.get("/openapi.json").json()["paths"].keys()
    assert ours == FOR_EVERYBODY | {path for _, path in guarded_routes()}


def test_a_route_that_names_no_scope_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="/open names no scope"):
        Guarded("/open", lambda: None)


def test_the_documentation_has_every_route_with_its_scope() -> None:
    text = (REPOSITORY / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| `(\w+) (/[^`]*)` \| `(\w+)`", text, re.MULTILINE)
    assert {(method, path): scope for method, path, scope in rows} == guarded_routes()
    for scope in SCOPES:
        assert f"`{scope}`" in text


@pytest.mark.parametrize("how", ["no key", "an unknown key", "an expired key", "a made-up key"])
def test_without_a_working_key_no_route_answers(locked: TestClient, how: str) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    valid = key(locked, *SCOPES)["Authorization"]
    headers = {
        "no key": {},
        "an unknown key": bearer("palm_00000000_" + "x" * 43),
        "an expired key": key(locked, *SCOPES, expires_at=past),
        "a made-up key": {"Authorization": valid[:-1] + ("A" if valid[-1] != "A" else "B")},
    }[how]
    for method, path in guarded_routes():
        answer = send(locked, method, path, headers=headers)
        assert_problem(answer, 401, "API key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "p001" not in answer.text.replace("/v1/subjects/p001", "")


def test_a_key_with_all_other_scopes_is_refused(locked: TestClient) -> None:
    for (method, path), scope in guarded_routes().items():
        if scope == "any":
            continue
        others = [one for one in SCOPES if one != scope]
        answer = send(locked, method, path, headers=key(locked, *others))
        assert_problem(answer, 403, repr(scope))


def test_a_key_with_the_scope_is_let_in(locked: TestClient) -> None:
    for (method, path), scope in guarded_routes().items():
        if method != "DELETE":
            able: Scope = "metrics" if scope == "any" else scope
            answer = send(locked, method, path, headers=key(locked, able))
            assert answer.status_code not in {401, 403}, (method, path)


BODIES = {
    ("PATCH", "/v1/subjects/{subject_id}"): {"json": {"name": "Eve"}},
    ("POST", "/v1/subjects/{subject_id}/rename"): {"json": {"subject_id": "eve"}},
    ("POST", "/v1/subjects/{subject_id}/merge"): {"json": {"from": "bob1", "force": True}},
}
"""What the routes that name a subject need besides its id."""


def told(answer: Any, subject_id: str) -> Any:
    """Returns what an answer tells, without the id that was asked for and what is new each time."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    body = {name: text for name, text in answer.json().items() if name != "request_id"}
    return answer.status_code, headers, str(body).replace(subject_id, "ID")


def limited_to_guests(client: TestClient) -> dict[str, str]:
    """Creates a key with all scopes that a limited one may have; returns the header."""
    scopes = [scope for scope in SCOPES if scope != "admin"]
    return bearer(ring_of(client).create("test", scopes, collections=["guests"])[1])


def test_another_collection_s_subject_is_answered_as_an_unknown_one(client: TestClient) -> None:
    assert enroll(client, "ada1", png(50), collection="staff", name="Ada").status_code == 201
    guests = limited_to_guests(client)
    # Neither an ETag that does not fit nor the confirmation that p001 needs may matter.
    headers = {**guests, "If-Match": '"0"'}
    routes = [route for route in guarded_routes() if "{subject_id}" in route[1]]
    assert len(routes) >= 5
    for method, path in routes:
        options = {"headers": headers, **BODIES.get((method, path), {})}
        unknown = send(client, method, path, subject_id="eve1", **options)
        assert_problem(unknown, 404, "'eve1'")
        for hidden in ("ada1", "p001"):
            answer = send(client, method, path, subject_id=hidden, **options)
            assert told(answer, hidden) == told(unknown, "eve1"), (method, path)
    form: Any = {"files": images(png(50, 1)), "headers": guests}
    unknown = client.post("/v1/verify", data={"subject_id": "eve1"}, **form)
    assert_problem(unknown, 404, "'eve1'")
    for hidden in ("ada1", "p001"):
        answer = client.post("/v1/verify", data={"subject_id": hidden}, **form)
        assert told(answer, hidden) == told(unknown, "eve1")


def test_a_collection_that_a_key_lacks_is_refused_whether_or_not_it_exists(
    client: TestClient,
) -> None:
    assert enroll(client, "ada", png(50), collection="staff").status_code == 201
    headers = limited_to_guests(client)
    form: Any = {"files": images(png(50, 1)), "headers": headers}

    def ask(name: str) -> list[Any]:
        return [
            client.post("/v1/enroll", data={"subject_id": "eve", "collection": name}, **form),
            client.post("/v1/identify", data={"collections": ["guests", name]}, **form),
            client.get("/v1/subjects", params={"collection": name}, headers=headers),
            client.patch("/v1/subjects/ada", json={"collection": name}, headers=headers),
        ]

    for existing, other in zip(ask("staff"), ask("stuff"), strict=True):
        assert_problem(existing, 403, "this API key lacks the collection 'staff'")
        assert told(existing, "staff") == told(other, "stuff")


def test_a_key_does_not_help_another_site_s_page(locked: TestClient) -> None:
    for method, path in guarded_routes():
        if method != "GET":
            headers = {**key(locked, *SCOPES), "Origin": "https://evil.example"}
            assert_problem(send(locked, method, path, headers=headers), 403, "another site")


def test_nothing_is_read_from_a_caller_without_a_key(locked: TestClient) -> None:
    app: Any = locked.app
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("the body is read")

    async def collect(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/enroll",
        "query_string": b"",
        "headers": headers,
        "client": ELSEWHERE,
    }
    asyncio.run(app(scope, receive, collect))
    assert sent[0]["status"] == 401


def test_without_keys_only_this_machine_is_served(settings: Settings) -> None:
    app = make_app(settings.model_copy(update={"allowed_hosts": ("palm.example.org",)}))
    with local_client(app) as client:
        assert client.get("/v1/subjects").status_code == 200
        proxied = client.get("/v1/subjects", headers={"Host": "palm.example.org"})
        assert_problem(proxied, 401, "Authorization: Bearer")
    with TestClient(app, base_url="http://localhost", client=ELSEWHERE) as stranger:
        assert_problem(stranger.get("/v1/subjects"), 401, "python -m app keys create")
        assert stranger.get("/health/live").status_code == 200


def test_the_first_key_locks_the_service(client: TestClient) -> None:
    wanted = {"name": "ops", "scopes": ["read", "admin", "read"]}
    created = client.post("/v1/keys", json=wanted)
    assert created.status_code == 201, created.text
    token = created.json()["api_key"]
    assert created.json()["scopes"] == ["read", "admin"]
    assert_problem(client.get("/v1/subjects"), 401)
    assert client.get("/v1/subjects", headers=bearer(token)).status_code == 200
    listed = client.get("/v1/keys", headers=bearer(token))
    assert [one["name"] for one in listed.json()["keys"]] == ["ops"]
    assert token not in listed.text


def test_a_revoked_key_is_refused_and_stays_listed(client: TestClient) -> None:
    admin, other = key(client, "admin"), key(client, "read")
    assert client.get("/v1/subjects", headers=other).status_code == 200
    key_id = other["Authorization"].split("_")[1]
    revoked = client.delete(f"/v1/keys/{key_id}", headers=admin)
    assert datetime.fromisoformat(revoked.json()["expires_at"]) <= datetime.now(UTC)
    assert_problem(client.get("/v1/subjects", headers=other), 401)
    assert len(client.get("/v1/keys", headers=admin).json()["keys"]) == 2
    again = client.delete(f"/v1/keys/{key_id}", headers=admin)
    assert again.json() == revoked.json()  # a second time changes nothing
    assert_problem(client.delete("/v1/keys/nobody", headers=admin), 404, "'nobody'")


def test_all_revoked_keys_do_not_open_the_service(client: TestClient) -> None:
    admin = key(client, "admin")
    key_id = admin["Authorization"].split("_")[1]
    assert client.delete(f"/v1/keys/{key_id}", headers=admin).status_code == 200
    assert_problem(client.get("/v1/subjects"), 401)


@pytest.mark.parametrize(
    "change",
    [
        "scopes = 'identify read admin'",
        "expires_at = NULL",
        "expires_at = '2099-01-01T00:00:00+00:00'",
        "key_id = '00000000'",
        "collections = NULL",
        "collections = 'default staff'",
        "collections = ''",
    ],
)
def test_a_key_that_was_altered_in_the_gallery_is_useless(
    settings: Settings, tmp_path: Path, change: str
) -> None:
    with local_client(make_app(settings)) as client:
        soon = datetime.now(UTC) + timedelta(hours=1)
        made = ring_of(client).create("test", ["read"], soon, ["default"])
        key_id, headers = made[0].key_id, bearer(made[1])
    execute(tmp_path / "gallery.db", f"UPDATE keys SET {change}")
    with local_client(make_app(settings)) as client:
        if "key_id" in change:
            headers["Authorization"] = headers["Authorization"].replace(key_id, "00000000")
        assert_problem(client.get("/v1/subjects", headers=headers), 401)


def test_another_process_s_changes_are_seen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "REFRESH_S", 0)
    with (
        local_client(make_app(settings)) as one,
        local_client(make_app(settings)) as other,
    ):
        made = key(one, "read")
        assert other.get("/v1/subjects", headers=made).status_code == 200
        assert_problem(other.get("/v1/subjects"), 401)
        ring_of(one).revoke(made["Authorization"].split("_")[1])
        assert_problem(other.get("/v1/subjects", headers=made), 401)


def test_a_reachable_service_makes_a_first_key_and_prints_it_once(
    settings: Settings, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(settings.model_copy(update={"host": "0.0.0.0"}))
    with local_client(app) as client:
        (token,) = re.findall(r"palm_\S+", capsys.readouterr().out)
        assert_problem(client.get("/v1/subjects"), 401)
        assert client.get("/v1/subjects", headers=bearer(token)).status_code == 200
    assert token not in caplog.text
    with local_client(app):
        assert capsys.readouterr().out == ""


def test_a_lost_master_key_opens_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with local_client(make_app(settings)) as client:
        made = key(client, *SCOPES)
    settings.master_key_file.unlink()
    with local_client(make_app(settings)) as client:
        for headers in ({}, made):
            answer = client.get("/v1/subjects", headers=headers)
            assert_problem(answer, 503, "the gallery could not be started")
    assert str(settings.master_key_file) in caplog.text
    assert not settings.master_key_file.exists()


def test_neither_the_gallery_nor_the_log_holds_a_key(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with local_client(make_app(settings)) as client:
        token = key(client, "read")["Authorization"].removeprefix("Bearer ")
        assert client.get("/v1/subjects", headers=bearer(token)).status_code == 200
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    secret = token.split("_", 2)[2]
    assert secret.encode() not in stored
    assert secret not in caplog.text


def test_only_the_scope_scores_shows_all_digits(client: TestClient) -> None:
    fine = identify(client, png(1, 1)).json()
    headers = key(client, "identify")
    coarse = client.post("/v1/identify", files=images(png(1, 1)), headers=headers).json()
    for field in ("decision", "identity", "threshold"):
        assert coarse[field] == fine[field]
    pairs = [(coarse, fine), *zip(coarse["nets"], fine["nets"], strict=True)]
    pairs += zip(coarse["candidates"], fine["candidates"], strict=True)
    for rounded, exact in pairs:
        assert 0 <= exact["confidence"] - rounded["confidence"] < 0.01
        assert round(rounded["confidence"], 2) == rounded["confidence"]
    for rounded, exact in pairs[1:]:
        assert 0 <= exact["score"] - rounded["score"] < 0.5
        assert 2 * rounded["score"] == int(2 * rounded["score"])
    headers = key(client, "identify", "scores")
    full = client.post("/v1/identify", files=images(png(1, 1)), headers=headers).json()
    assert full["candidates"] == fine["candidates"]


def test_every_key_learns_what_it_may_do(client: TestClient) -> None:
    nobody = client.get("/v1/caller").json()
    assert nobody["scopes"] == list(SCOPES)
    assert not nobody["keys_in_use"]
    assert [nobody[one] for one in ("key_id", "name", "collections", "expires_at")] == [None] * 4
    soon = datetime.now(UTC) + timedelta(hours=1)
    made, token = ring_of(client).create("door", ["read", "identify"], soon, ["b", "a"])
    told = client.get("/v1/caller", headers=bearer(token)).json()
    assert datetime.fromisoformat(told.pop("expires_at")) == soon
    assert told == {
        "keys_in_use": True,
        "key_id": made.key_id,
        "name": "door",
        "scopes": ["identify", "read"],
        "explanations": client.app.state.service.may_explain,
        "collections": ["a", "b"],
    }


def test_force_and_explain_have_scopes_of_their_own(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    enrolling = key(client, "enroll", "read")
    form: Any = {"data": {"subject_id": "eve", "force": "true"}, "files": images(png(50, 1))}
    assert_problem(client.post("/v1/enroll", **form, headers=enrolling), 403, "'force'")
    forcing = key(client, "enroll", "force")
    assert client.post("/v1/enroll", **form, headers=forcing).status_code == 201
    explained = {"params": {"explain": "true"}, "files": images(png(50))}
    answer = client.post("/v1/identify", **explained, headers=key(client, "identify"))
    assert_problem(answer, 403, "'explain'")


def test_a_known_palm_s_subject_is_named_to_readers_only(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    form: Any = {"data": {"subject_id": "eve"}, "files": images(png(50, 1))}
    reader, other = key(client, "enroll", "read"), key(client, "enroll")
    assert_problem(client.post("/v1/enroll", **form, headers=reader), 409, "as 'ada'")
    refused = client.post("/v1/enroll", **form, headers=other)
    assert_problem(refused, 409, "under another subject")
    assert "ada" not in refused.json()["detail"]


def test_a_refused_enrolment_tells_no_score_in_full(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), png(50, 1)).status_code == 201
    for refused in (
        enroll(client, "ada", png(60), add="true"),
        enroll(client, "eve", png(50, 2)),
        enroll(client, "bob", png(60), png(61)),
    ):
        assert refused.status_code in {409, 422}
        told = re.findall(r"(?:score |image \d+: )(-?[\d.]+)", refused.json()["detail"])
        assert told
        assert all(2 * float(score) == int(2 * float(score)) for score in told)


def test_each_key_and_each_address_has_a_limit_of_its_own(settings: Settings) -> None:
    with local_client(make_app(settings.model_copy(update={"rate_limit": "2/hour"}))) as client:
        one, other = key(client, "read"), key(client, "read")
        for _ in range(2):
            assert client.get("/v1/subjects", headers=one).status_code == 200
        refused = client.get("/v1/subjects", headers=one)
        assert_problem(refused, 429, "2 per 1 hour", "try again")
        assert 0 < int(refused.headers["retry-after"]) <= 7200
        assert client.get("/v1/subjects", headers=other).status_code == 200
        for status in (401, 401, 429):
            assert client.get("/v1/subjects").status_code == status
        assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"name": " ", "scopes": ["read"]}, ["name", "blank"]),
        ({"name": "ops", "scopes": []}, ["scopes", "at least 1"]),
        ({"name": "ops", "scopes": ["everything"]}, ["scopes", "'everything'"]),
        ({"name": "ops", "scopes": ["read"], "expires_at": "2027-01-01"}, ["expires_at"]),
        ({"name": "ops", "scopes": ["read"], "days": 3}, ["days", "is unknown"]),
        ({"scopes": ["read"]}, ["name", "is required"]),
        ({"name": "ops", "scopes": ["read"], "expires_at": PAST}, ["expires_at", "in the future"]),
        (
            {"name": "ops", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-01:00"},
            ["expires_at", "year 10000"],
        ),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    client: TestClient, wanted: dict[str, Any], words: list[str]
) -> None:
    assert_problem(client.post("/v1/keys", json=wanted), 422, *words)
    assert client.get("/v1/keys").json() == {"keys": []}


def test_the_document_asks_for_a_key_where_one_is_needed(locked: TestClient) -> None:
    document = locked.get("/openapi.json").json()
    (name,) = document["components"]["securitySchemes"]
    documented = {
        (method.upper(), path): operation["security"][0][name][0]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path not in FOR_EVERYBODY
    }
    assert documented == guarded_routes()
