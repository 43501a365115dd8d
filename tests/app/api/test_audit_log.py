"""GET /v1/audit: the newest lines, page by page, of a file that may be huge, torn or gone."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.audit.reading import BLOCK, MAX_READ
from app.settings import Settings
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    identify,
    local_client,
    make_app,
    make_settings,
    png,
)
from tests.app.api.test_access import key


@pytest.fixture
def file(settings: Settings) -> Path:
    assert settings.audit_file is not None
    return settings.audit_file


def page(client: TestClient, **query: Any) -> Any:
    return client.get("/v1/audit", params=query).raise_for_status().json()


def numbers(shown: Any) -> list[int]:
    return [line["number"] for line in shown["lines"]]


def write_lines(file: Path, last: int, *, first: int = 1, filler: int = 200) -> None:
    """Writes lines of the log's form, as many bytes each as the service's own."""
    told = {"time": "2026-11-30T09:00:00+00:00", "route": "/x", "status": 200, "text": "x" * filler}
    lines = (json.dumps({"number": number, **told}) for number in range(first, last + 1))
    file.write_text("".join(f"{line}\n" for line in lines))


def test_the_newest_lines_come_first_and_tell_no_more_than_the_file(
    client: TestClient, file: Path
) -> None:
    assert enroll(client, "lovelace", png(50)).status_code == 201
    written = [json.loads(line) for line in file.read_text().splitlines()]
    shown = page(client)
    assert numbers(shown) == [line["number"] for line in reversed(written)]
    for line, told in zip(reversed(shown["lines"]), written, strict=True):
        kept = {name: value for name, value in told.items() if name not in {"previous", "mac"}}
        assert {name: line[name] for name in kept} | {"time": kept["time"]} == kept
        assert {name for name, value in line.items() if value is not None} == set(kept)
    assert "lovelace" not in json.dumps(shown)
    assert (shown["next"], shown["unreadable"]) == (None, 0)


def test_reading_is_audited(client: TestClient) -> None:
    page(client, subject="0123456789abcdef")
    newest = page(client, limit=1)["lines"][0]
    assert (newest["route"], newest["subject"]) == ("/v1/audit", "0123456789abcdef")


def test_pages_follow_one_another_without_gaps(client: TestClient, file: Path) -> None:
    write_lines(file, 3000)
    assert file.stat().st_size > 8 * BLOCK
    seen: list[int] = []
    before = {"before": 3001}
    while before["before"]:
        shown = page(client, limit=500, **before)
        seen += numbers(shown)
        before = {"before": shown["next"]}
    assert seen == list(range(3000, 0, -1))


@pytest.mark.parametrize("before", [1, 2, 700, 1999, 2000])
def test_any_line_can_be_the_end_of_a_page(client: TestClient, file: Path, before: int) -> None:
    write_lines(file, 2000)
    assert numbers(page(client, before=before, limit=3)) == [
        number for number in (before - 1, before - 2, before - 3) if number > 0
    ]


def test_filters_choose_by_route_outcome_and_subject(client: TestClient) -> None:
    assert enroll(client, "lovelace", png(50)).status_code == 201
    assert identify(client, b"no image").status_code == 422
    assert client.get("/v1/subjects/lovelace").status_code == 200
    refused = page(client, outcome="refused")["lines"]
    assert [(line["route"], line["status"]) for line in refused] == [("/v1/identify", 422)]
    pseudonym = page(client, route="/v1/subjects/{subject_id}")["lines"][0]["subject"]
    about = page(client, subject=pseudonym, outcome="succeeded")["lines"]
    assert [line["route"] for line in about] == ["/v1/subjects/{subject_id}", "/v1/enroll"]
    assert page(client, outcome="failed")["lines"] == []


def test_torn_and_altered_lines_are_counted_and_passed_over(client: TestClient, file: Path) -> None:
    write_lines(file, 5)
    with file.open("a") as log:
        log.write('garbage\n[1]\n{"number":"x"}\n{"number":6,"time":"2026-11-30T09:0')
    shown = page(client, before=100)
    assert numbers(shown) == [5, 4, 3, 2, 1]
    assert shown["unreadable"] == 3


def test_a_search_of_a_huge_file_ends_and_says_where_to_go_on(
    client: TestClient, file: Path
) -> None:
    last = 2 * MAX_READ // 10_000
    write_lines(file, last, filler=10_000)
    shown = page(client, route="/nowhere")
    assert shown["lines"] == []
    assert 1 < shown["next"] < last
    again = page(client, route="/nowhere", before=shown["next"])
    assert (again["next"] or 0) < shown["next"]


def test_a_file_that_was_moved_away_is_an_empty_log(client: TestClient, file: Path) -> None:
    file.rename(file.with_name("audit.jsonl.1"))
    assert page(client)["lines"] == []
    assert len(page(client)["lines"]) == 1  # the request before


def test_a_service_without_a_log_says_so(tmp_path: Path) -> None:
    settings = make_settings(tmp_path).model_copy(update={"audit_file": None})
    with local_client(make_app(settings)) as client:
        assert_problem(client.get("/v1/audit"), 404, "PALM_AUDIT_FILE")


@pytest.mark.parametrize(
    "query", [{"limit": 501}, {"before": 0}, {"outcome": "good"}, {"subject": "ada"}, {"rout": "x"}]
)
def test_a_query_that_makes_no_sense_is_refused(client: TestClient, query: Any) -> None:
    assert_problem(client.get("/v1/audit", params=query), 422, *query)


def test_a_key_without_admin_reads_nothing(client: TestClient) -> None:
    answer = client.get("/v1/audit", headers=key(client, "metrics", "read"))
    assert_problem(answer, 403, "'admin'")
