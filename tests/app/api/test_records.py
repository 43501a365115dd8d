"""Metadata, consent, retention date, rename, merge and export over HTTP."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.access.keys import SCOPES
from app.matching.maps import VeinMaps
from app.matching.templates import MapFormat
from tests.app.api.conftest import (
    IDENTITIES,
    SHAPE,
    assert_problem,
    enroll,
    identify,
    images,
    png,
    toy_ensemble,
    verify,
)
from tests.app.api.test_access import key

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
METADATA = {"department": "Archive of maps", "badge.no": "17"}


def post(client: TestClient, path: str, body: Any, **options: Any) -> Any:
    return client.post(f"/v1/subjects/{path}", json=body, **options)


def test_details_are_enrolled_changed_and_cleared(client: TestClient) -> None:
    fields = {"consent": " form 1187", "retain_until": TOMORROW, "metadata": json.dumps(METADATA)}
    subject = enroll(client, "ada", png(50), **fields).json()["subject"]
    assert (subject["metadata"], subject["consent"]) == (METADATA, "form 1187")
    assert datetime.fromisoformat(subject["retain_until"]) == datetime.fromisoformat(TOMORROW)
    assert client.get("/v1/subjects/ada").json() == subject
    assert identify(client, png(50, 1)).json()["identity"] == subject
    tag = client.get("/v1/subjects/ada").headers["etag"]
    changes = {"metadata": {"a": "Ame\u0301lie"}, "consent": None, "retain_until": None}
    changed = client.patch("/v1/subjects/ada", json=changes, headers={"If-Match": tag})
    assert changed.json()["metadata"] == {"a": "Am\u00e9lie"}
    assert (changed.json()["consent"], changed.json()["retain_until"]) == (None, None)
    assert client.get("/v1/subjects/ada").headers["etag"] == changed.headers["etag"] != tag


WRONG = [
    ("metadata", {f"k{i}": "v" for i in range(17)}, "at most 16"),
    ("metadata", {"-a": "v"}, "pattern"),
    ("metadata", {"a" * 65: "v"}, "pattern"),
    ("metadata", {"a": "v" * 201}, "at most 200"),
    ("metadata", {"a": "v\u200b"}, "invisible"),
    ("metadata", {"a": " "}, "blank"),
    ("metadata", {"a": 1}, "string"),
    ("metadata", ["a"], "dictionary"),
    ("consent", "a\u202eb", "invisible"),
    ("consent", "c" * 201, "at most 200"),
    ("retain_until", "2020-01-01T00:00:00Z", "future"),
    ("retain_until", "2127-01-01T00:00:00", "timezone"),
    ("retain_until", "9999-12-31T23:59:59-23:00", "10000"),
    ("retain_until", "tomorrow", "datetime"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG)
def test_wrong_details_are_refused_by_both_routes(
    shared_client: TestClient, field: str, value: Any, words: str
) -> None:
    changed = shared_client.patch("/v1/subjects/p001", json={field: value})
    assert_problem(changed, 422, f"{field}: ", words)
    text = json.dumps(value) if field == "metadata" else value
    assert_problem(enroll(shared_client, "ada", png(50), **{field: text}), 422, field, words)


@pytest.mark.parametrize("text", ["{", "department", "[" * 5000])
def test_metadata_of_a_form_must_be_a_json_object(shared_client: TestClient, text: str) -> None:
    assert_problem(enroll(shared_client, "ada", png(50), metadata=text), 422, "metadata: ")


def test_only_who_may_erase_changes_the_retention_date(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    may_enroll = key(client, "enroll", "read")
    may_erase = key(client, "enroll", "read", "erase")
    body = {"subject_id": "ada", "add": "true", "retain_until": TOMORROW}
    for headers, statuses in ((may_enroll, (403, 403)), (may_erase, (200, 201))):
        changed = client.patch("/v1/subjects/ada", json={"retain_until": TOMORROW}, headers=headers)
        added = client.post(
            "/v1/enroll",
            data=body,
            files=[("images", ("1.png", png(50, 1), "image/png"))],
            headers=headers,
        )
        assert (changed.status_code, added.status_code) == statuses
    new = client.post(
        "/v1/enroll",
        data={"subject_id": "eve", "retain_until": TOMORROW},
        files=[("images", ("1.png", png(51), "image/png"))],
        headers=may_enroll,
    )
    assert new.status_code == 201


def test_a_trained_identity_is_neither_renamed_nor_merged_nor_dated(client: TestClient) -> None:
    assert enroll(client, "ada", png(50)).status_code == 201
    for answer in (
        client.patch("/v1/subjects/p001", json={"retain_until": TOMORROW}),
        enroll(client, "p001", png(1, 1), add="true", retain_until=TOMORROW),
        post(client, "p001/rename", {"subject_id": "bob"}),
        post(client, "ada/merge", {"from": "p001", "force": True}),
    ):
        assert_problem(answer, 409, "'p001'", "trained")
    assert len(client.get("/v1/subjects").json()["subjects"]) == 1 + len(IDENTITIES)


def test_a_renamed_subject_is_found_under_its_new_id_only(client: TestClient) -> None:
    before = enroll(client, "ada", png(50), name="Ada").json()["subject"]
    answer = post(client, "ada/rename", {"subject_id": "ada-left"})
    assert answer.status_code == 200
    assert answer.json()["subject"] == {**before, "subject_id": "ada-left"}
    receipt = answer.json()["receipt"]
    assert (receipt["erased"], receipt["index"], receipt["database"]) == ("id", "done", "done")
    assert client.get(f"/v1/erasures/{receipt['erasure_id']}").json() == receipt
    assert answer.headers["etag"] == client.get("/v1/subjects/ada-left").headers["etag"]
    assert identify(client, png(50, 1)).json()["identity"]["subject_id"] == "ada-left"
    assert_problem(client.get("/v1/subjects/ada"), 404)
    for wrong in ("p001", "P001", "ada-left"):
        assert_problem(post(client, "ada-left/rename", {"subject_id": wrong}), 409, repr(wrong))
    for wrong in ("", "-a", "a b", "a" * 65):
        answer = post(client, "ada-left/rename", {"subject_id": wrong})
        assert_problem(answer, 422, "subject_id: ", "pattern")
    assert_problem(post(client, "ghost/rename", {"subject_id": "a"}), 404, "ghost")


def test_merged_subjects_are_one_palm(client: TestClient) -> None:
    enroll(client, "ada", png(50), name="Ada").raise_for_status()
    enroll(client, "ada-2", png(50, 1), force="true").raise_for_status()
    enroll(client, "bob", png(60)).raise_for_status()
    unlike = post(client, "ada/merge", {"from": "bob"})
    assert_problem(unlike, 422, "'bob'", "'ada'", "force=true")
    assert_problem(post(client, "ada/merge", {"form": "bob"}), 422, "did you mean from?")
    assert_problem(post(client, "ada/merge", {"from": "ghost"}), 404, "ghost")
    assert_problem(post(client, "ghost/merge", {"from": "ada"}), 404, "ghost")
    assert_problem(post(client, "ada/merge", {"from": "ada"}), 422, "itself")
    answer = post(client, "ada/merge", {"from": "ada-2"})
    assert answer.status_code == 200
    assert answer.json()["subject"]["template_counts"]["vgg16:" + "1".zfill(16)] == 2
    assert answer.json()["subject"]["name"] == "Ada"
    assert answer.json()["receipt"]["erased"] == "subject"
    assert_problem(client.get("/v1/subjects/ada-2"), 404)
    assert verify(client, "ada", png(50, 2)).json()["decision"] == "match"
    client.patch("/v1/subjects/ada", json={"hand": "left"})
    client.patch("/v1/subjects/bob", json={"hand": "right"})
    assert_problem(post(client, "ada/merge", {"from": "bob", "force": True}), 409, "right hand")
    client.patch("/v1/subjects/bob", json={"hand": None})
    assert post(client, "ada/merge", {"from": "bob", "force": True}).status_code == 200
    assert identify(client, png(60, 1)).json()["identity"]["subject_id"] == "ada"


def test_subjects_that_cannot_be_compared_are_merged_by_force_only(client: TestClient) -> None:
    enroll(client, "ada", png(50)).raise_for_status()
    app: Any = client.app
    former = MapFormat("vgg16", "f" * 16, SHAPE)  # of nets that are not in service
    templates = {former: toy_ensemble().nets[1].trained.maps[:1]}
    app.state.service.gallery.enroll("old", None, None, templates, add=False)
    for path, other in (("ada", "old"), ("old", "ada")):
        answer = post(client, f"{path}/merge", {"from": other})
        assert_problem(answer, 409, "'old' has no templates", "force=true")
    assert post(client, "ada/merge", {"from": "old", "force": True}).status_code == 200
    assert client.get("/v1/subjects/ada").json()["template_counts"][str(former)] == 1
    assert verify(client, "ada", png(50, 2)).json()["decision"] == "match"


def test_what_erases_needs_the_scope_and_so_does_force(client: TestClient) -> None:
    enroll(client, "ada", png(50)).raise_for_status()
    enroll(client, "bob", png(60)).raise_for_status()
    without_erase = key(client, *[one for one in SCOPES if one != "erase"])
    without_force = key(client, *[one for one in SCOPES if one != "force"])
    for path, body, headers, scope in (
        ("ada/rename", {"subject_id": "ida"}, without_erase, "erase"),
        ("ada/merge", {"from": "bob"}, without_erase, "erase"),
        ("ada/merge", {"from": "bob", "force": True}, without_force, "force"),
    ):
        assert_problem(post(client, path, body, headers=headers), 403, repr(scope))
    assert client.get("/v1/subjects/bob", headers=without_erase).status_code == 200


@pytest.mark.parametrize("reads", [False, True])
def test_details_are_shown_to_readers_only(client: TestClient, reads: bool) -> None:
    fields = {"consent": "form 1", "retain_until": TOMORROW, "metadata": json.dumps(METADATA)}
    enroll(client, "ada", png(50), **fields).raise_for_status()
    enroll(client, "bob", png(60)).raise_for_status()
    headers = key(client, *[one for one in SCOPES if reads or one != "read"])
    form: Any = {"files": images(png(50, 1)), "headers": headers}
    answers = [
        client.post("/v1/identify", **form),
        client.post("/v1/verify", data={"subject_id": "ada"}, **form),
        client.post("/v1/enroll", data={"subject_id": "ada", "add": "true"}, **form),
        post(client, "ada/rename", {"subject_id": "ida"}, headers=headers),
        post(client, "ida/merge", {"from": "bob", "force": True}, headers=headers),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        body = answer.json()
        subject = body["identity"] if "identity" in body else body["subject"]
        assert subject["subject_id"] in {"ada", "ida"}
        shown = subject["metadata"], subject["consent"], subject["retain_until"] is not None
        assert shown == ((METADATA, "form 1", True) if reads else ({}, None, False))
    assert all(("etag" in answer.headers) == reads for answer in answers[3:])


def test_an_export_holds_all_of_one_subject(client: TestClient) -> None:
    enroll(client, "ada", png(50), png(50, 1), name="Ada", consent="form 1").raise_for_status()
    enroll(client, "eve", png(60)).raise_for_status()
    first, second = client.get("/v1/subjects/ada/templates").json()["templates"]
    gone = client.delete(f"/v1/subjects/ada/templates/{first['number']}").json()
    answer = client.get("/v1/subjects/ada/export")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    export = answer.json()
    assert export["subject"] == client.get("/v1/subjects/ada").json()
    (template,) = export["templates"]
    assert {name: template[name] for name in second} == second
    assert [one["erasure_id"] for one in export["erasures"]] == [gone["erasure_id"]]
    assert [one["net"] for one in template["maps"]] == ["alexnet", "vgg16", "vgg19"]
    for one, net in zip(template["maps"], toy_ensemble().nets, strict=True):
        assert (one["side"], one["channels"]) == SHAPE
        stored = b64decode(one["map"])
        # Read as `format` says.
        values = np.frombuffer(stored, np.int8, SHAPE.side**2 * SHAPE.channels)
        assert np.array_equal(
            values.reshape(SHAPE.side, SHAPE.side, SHAPE.channels),
            VeinMaps.from_bytes([stored], net.format.shape).values[0],
        )
        assert "16 are one standard deviation" in export["format"]
    assert_problem(client.get("/v1/subjects/ghost/export"), 404, "ghost")
    trained = client.get("/v1/subjects/p001/export").json()
    assert (trained["templates"], trained["subject"]["origin"]) == ([], "trained")


def test_neither_log_names_a_subject_that_is_renamed_or_merged(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    enroll(client, "zuse-left", png(50), consent="form-zuse").raise_for_status()
    enroll(client, "zuse-again", png(50, 1), force="true").raise_for_status()
    post(client, "zuse-left/rename", {"subject_id": "zuse-right"}).raise_for_status()
    post(client, "zuse-right/merge", {"from": "zuse-again"}).raise_for_status()
    client.get("/v1/subjects/zuse-right/export").raise_for_status()
    audited = (tmp_path / "audit.jsonl").read_text()
    logged = " ".join(f"{one.getMessage()} {vars(one)}" for one in caplog.records)
    told = [json.loads(line) for line in audited.splitlines()]
    done = [one for one in told if one.get("route", "").startswith("/v1/subjects/")]
    assert {"new_subject", "other_subject"} <= {name for one in done for name in one}
    assert done[-1]["scope"] == "export"
    ours = [one for one in caplog.records if one.name.startswith("app")]
    assert ours
    for text in (audited, " ".join(f"{one.getMessage()} {vars(one)}" for one in ours)):
        assert "zuse" not in text
    assert logged
