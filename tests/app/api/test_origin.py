"""What a page of another site makes a browser send is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from tests.app.api.conftest import assert_problem, images, local_client, make_app, png

SAME = "http://localhost"
OTHER = "https://evil.example"
FRIEND = "https://console.example.org"


@pytest.fixture
def befriended(settings: Settings) -> Iterator[TestClient]:
    """An application that a page of `FRIEND` may use."""
    update = {"allowed_origins": (FRIEND,)}
    with local_client(make_app(settings.model_copy(update=update))) as client:
        yield client


def enroll(client: TestClient, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    form = {"data": {"subject_id": "ada"}, "files": images(png(50))}
    return client.post("/v1/enroll", headers=named, **form)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": OTHER},
        {"Origin": "null"},
        {"Origin": "http://[x"},
        {"Origin": "http://localhost:8001"},  # another port is another site
        {"Origin": OTHER, "Sec_Fetch_Site": "cross-site"},
        {"Origin": SAME, "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_another_site_s_page_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    refused = enroll(client, **headers)
    assert_problem(refused, 403, "a page of another site", "PALM_ALLOWED_ORIGINS")
    assert client.get("/v1/subjects/ada").status_code == 404
    for change in (client.delete, client.patch):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        assert_problem(change("/v1/subjects/p001", headers=named), 403)
    assert client.get("/v1/subjects/p001").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},  # no browser
        {"Origin": SAME},
        {"Origin": "https://localhost"},  # a proxy with TLS in front
        {"Origin": SAME, "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_the_service_s_own_page_and_other_programs_may(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert enroll(client, **headers).status_code == 201


def test_a_befriended_page_may_and_reads_the_answer(befriended: TestClient) -> None:
    preflight = befriended.options(
        "/v1/enroll", headers={"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 200
    answer = enroll(befriended, Origin=FRIEND, Sec_Fetch_Site="cross-site")
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert_problem(enroll(befriended, Origin=OTHER), 403)


def test_no_other_page_reads_an_answer(client: TestClient) -> None:
    answer = client.get("/v1/subjects", headers={"Origin": OTHER, "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200  # the browser keeps it from the page
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:8000", "[::1]:8000", "192.0.2.7", ""],
)
def test_addresses_and_localhost_are_known(client: TestClient, host: str) -> None:
    assert client.get("/health/ready", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil", "[::1"])
def test_a_name_that_merely_leads_here_is_refused(client: TestClient, host: str) -> None:
    for path in ("/v1/subjects", "/docs", "/health/ready"):
        answer = client.get(path, headers={"Host": host})
        assert_problem(answer, 421, repr(host), "PALM_ALLOWED_HOSTS")


def test_a_listed_name_is_known(settings: Settings) -> None:
    named = settings.model_copy(update={"allowed_hosts": ("palm.example.org",)})
    with local_client(make_app(named), base_url="http://Palm.example.org:8000") as client:
        assert client.get("/health/ready").status_code == 200


def test_answers_are_not_kept_behind_a_proxy_s_path_either(settings: Settings) -> None:
    app = make_app(settings.model_copy(update={"root_path": "/palm"}))
    with local_client(app, root_path="/palm") as client:
        assert client.get("/palm/v1/subjects").headers["cache-control"] == "no-store"


def test_answers_about_people_are_neither_kept_nor_reinterpreted(client: TestClient) -> None:
    for answer in (client.get("/v1/subjects"), client.get("/v1/subjects/nobody")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    page = client.get("/docs")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "cache-control" not in page.headers


def test_the_usual_port_of_an_origin_may_be_written() -> None:
    settings = Settings.model_validate(
        {"allowed_origins": "https://a.example:443, http://[::1]:81"}
    )
    assert settings.allowed_origins == ("https://a.example", "http://[::1]:81")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowed_hosts", "https://palm.example.org"),
        ("allowed_hosts", "palm.example.org:8000"),
        ("allowed_origins", "console.example.org"),
        ("allowed_origins", "https://console.example.org/"),
        ("allowed_origins", "*"),
    ],
)
def test_what_is_no_host_or_origin_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"a host is a name|an origin is written"):
        Settings.model_validate({field: value})
