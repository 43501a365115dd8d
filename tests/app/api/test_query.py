"""Query parameters that a route does not have."""

import pytest
from fastapi.testclient import TestClient

from tests.app.api.conftest import assert_problem, images, png


@pytest.mark.parametrize(
    ("method", "url", "message"),
    [
        ("GET", "/v1/subjects?limt=5", "limt: is not a query parameter; did you mean limit?"),
        (
            "GET",
            "/v1/subjects?limit=5&offset=2",
            "offset: is not a query parameter; known are after, collection, limit, name, origin",
        ),
        (
            "GET",
            "/v1/subjects/p001?limit=5",
            "limit: is not a query parameter; none are known here",
        ),
        (
            "POST",
            "/v1/identify?candidates=2",
            "candidates: is not a query parameter; known are explain",
        ),
        (
            "POST",
            "/v1/verify?subject_id=p001",
            "subject_id: is not a query parameter; none are known here",
        ),
    ],
)
def test_an_unknown_query_parameter_is_named_and_corrected(
    shared_client: TestClient, method: str, url: str, message: str
) -> None:
    form = {"files": images(png(50)), "data": {}} if method == "POST" else {}
    if "verify" in url:
        form["data"] = {"subject_id": "p001"}
    response = shared_client.request(method, url, **form)
    assert_problem(response, 422, message)


def test_known_parameters_and_those_of_a_health_check_are_accepted(
    shared_client: TestClient,
) -> None:
    for url in ("/v1/subjects?after=p001&limit=5", "/health/live?t=1796000000"):
        assert shared_client.get(url).status_code == 200
