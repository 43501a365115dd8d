"""Receipts of erasures over HTTP."""

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.gallery.errors import GalleryUnusable
from app.gallery.index import memory as index
from app.gallery.sql import sqlite
from app.settings import Settings
from tests.app.api.conftest import assert_problem, enroll, local_client, make_app, png
from tests.app.gallery.test_erasure import reading


def test_an_erasure_answers_with_a_receipt_that_can_be_read_again(
    client: TestClient, settings: Settings
) -> None:
    enroll(client, "ada", png(50), name="Ada Byron")
    answer = client.delete("/v1/subjects/ada")
    assert answer.status_code == 200
    receipt = answer.json()
    media = {medium: "done" for medium in ("database", "log", "index", "memory")}
    assert receipt == {
        "erasure_id": receipt["erasure_id"],
        "pseudonym": receipt["pseudonym"],
        "erased": "subject",
        "erased_at": receipt["erased_at"],
        **media,
    }
    assert "ada" not in {receipt["pseudonym"], receipt["erasure_id"]}
    assert client.get(f"/v1/erasures/{receipt['erasure_id']}").json() == receipt
    with local_client(make_app(settings)) as restarted:
        assert restarted.get(f"/v1/erasures/{receipt['erasure_id']}").json() == receipt


def test_an_unknown_erasure_is_404(shared_client: TestClient) -> None:
    assert_problem(shared_client.get("/v1/erasures/0"), 404, "there is no erasure '0'")
    assert_problem(shared_client.get("/v1/erasures/" + "0" * 65), 422, "erasure_id", "at most 64")


def test_a_receipt_says_pending_while_a_program_reads_the_keys(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    enroll(client, "ada", png(50))
    with reading(tmp_path / "gallery.db.keys"):
        receipt = client.delete("/v1/subjects/ada").json()
        assert (receipt["database"], receipt["log"]) == ("pending", "pending")
        assert (receipt["index"], receipt["memory"]) == ("done", "done")
    enroll(client, "eve", png(51))
    receipt = client.get(f"/v1/erasures/{receipt['erasure_id']}").json()
    assert (receipt["database"], receipt["log"]) == ("done", "done")


def test_a_receipt_says_pending_while_an_index_is_rebuilt(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(client, "ada", png(50))
    go_on = threading.Event()

    def wait_and_fail(*_: object) -> None:
        go_on.wait(30)
        raise RuntimeError("the test's end")

    def is_due(_: object) -> bool:
        return not go_on.is_set()

    monkeypatch.setattr(index, "next_means", wait_and_fail)
    monkeypatch.setattr(index, "_needs_rebuild", is_due)
    receipt = client.delete("/v1/subjects/ada").json()
    assert (receipt["index"], receipt["memory"]) == ("done", "pending")
    go_on.set()
    app: Any = client.app
    app.state.service.identifier._index.settle()
    receipt = client.get(f"/v1/erasures/{receipt['erasure_id']}").json()
    assert (receipt["index"], receipt["memory"]) == ("done", "done")


def test_a_receipt_says_pending_if_the_index_cannot_follow(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(client, "ada", png(50))
    app: Any = client.app
    gallery = app.state.service.gallery

    def fail() -> int:
        raise GalleryUnusable("the database is gone")

    monkeypatch.setattr(gallery, "revision", fail)
    receipt = client.delete("/v1/subjects/ada").json()
    assert (receipt["index"], receipt["memory"]) == ("pending", "pending")
