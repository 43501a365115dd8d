"""Health, nets, methods and paths, errors and overload."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.matching.maps import VeinMaps
from app.settings import Settings
from tests.app.api.conftest import (
    SHAPE,
    ToyNet,
    assert_problem,
    enroll,
    identify,
    load_only,
    local_client,
    make_app,
    png,
    verify,
)


def test_health(shared_client: TestClient) -> None:
    assert shared_client.get("/health/live").json() == {"status": "alive"}
    ready = {"status": "ready", "subjects": 3, "without_templates": 0, "gallery_as_of": None}
    assert shared_client.get("/health/ready").json() == ready


def test_the_nets_are_listed(shared_client: TestClient) -> None:
    models = shared_client.get("/v1/models").json()
    nets = models["nets"]
    assert [net["net"] for net in nets] == ["alexnet", "vgg16", "vgg19"]
    assert nets[0]["trained_identities"] == 3
    assert nets[0]["template_id"] == "0" * 16
    assert (nets[0]["map_side"], nets[0]["map_channels"]) == SHAPE
    thresholds = [{"score": 0.5, "fmr": 0.01}, {"score": 0.6, "fmr": 0.0001}]
    case = {"mean_map": False, "templates": 1, "probes": 1, "thresholds": thresholds}
    assert nets[0]["cases"] == models["cases"] == [case]
    assert models["weights"] == [0.25, 0.25, 0.5]


def test_the_gallery_is_described_without_any_map(shared_client: TestClient) -> None:
    gallery = shared_client.get("/v1/models").json()["gallery"]
    assert gallery == {
        "subjects": 3,
        "without_templates": 0,
        "mean_map": {"subjects": 0, "revision": 0, "impostors": None, "cameras": []},
        "fpir": 0.01,
        "as_of": None,
    }


def test_head_is_get_without_the_body(shared_client: TestClient) -> None:
    routes = shared_client.get("/openapi.json").json()["paths"].items()
    found = [path for path, methods in routes if "get" in methods and "{erasure_id}" not in path]
    for changing in ("/metrics", "/v1/audit"):  # no two answers are alike
        found.remove(changing)
    paths = [path.format(subject_id="p001") for path in found]
    for path in [*paths, "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"]:
        assert_head_is_get(shared_client, path)


def assert_head_is_get(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    for header in ("content-type", "content-length"):
        assert head.headers[header] == get.headers[header]
    assert "x-request-id" in head.headers


def test_an_unknown_path_is_a_problem(shared_client: TestClient) -> None:
    assert shared_client.head("/v1/subjects/ghost").status_code == 404
    assert_problem(shared_client.get("/v1/nothing"), 404, "/docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/identify", "POST"),
        ("HEAD", "/v1/identify", "POST"),
        ("OPTIONS", "/v1/subjects", "GET, HEAD"),
        ("POST", "/v1/subjects/p001", "GET, HEAD, PATCH, DELETE"),
        ("DELETE", "/docs", "GET, HEAD"),
        ("POST", "/static-offline-docs/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes(
    shared_client: TestClient, method: str, path: str, allowed: str
) -> None:
    response = shared_client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        assert_problem(response, 405, method, "/docs")


def test_a_trailing_slash_redirects_nowhere(shared_client: TestClient) -> None:
    response = shared_client.get("/v1/subjects/", follow_redirects=False)
    assert_problem(response, 404)
    assert "location" not in response.headers


def test_a_callers_request_id_is_kept_unless_it_is_odd(shared_client: TestClient) -> None:
    kept = shared_client.get("/health/live", headers={"x-request-id": "trace-1.a"})
    assert kept.headers["x-request-id"] == "trace-1.a"
    replaced = shared_client.get("/health/live", headers={"x-request-id": 'x" {}'})
    assert re.fullmatch("[0-9a-f]{32}", replaced.headers["x-request-id"])


def raise_an_error(_images: NDArray[np.uint8]) -> VeinMaps:
    raise RuntimeError("secret internals")


def compute_nonsense(images: NDArray[np.uint8]) -> VeinMaps:
    shape = (len(images), SHAPE.side, SHAPE.side)
    return VeinMaps.of(
        np.full((*shape, SHAPE.channels), np.nan, np.float32), np.ones(shape, np.float32)
    )


@pytest.mark.parametrize("maps", [raise_an_error, compute_nonsense])
def test_a_net_that_fails_is_a_problem_that_gives_nothing_away_and_stores_nothing(
    settings: Settings, maps: Callable[[NDArray[np.uint8]], VeinMaps]
) -> None:
    net = ToyNet("alexnet", 0)
    net.maps = maps
    app = make_app(settings, load_only(net))
    with local_client(app, raise_server_exceptions=False) as client:
        for response in (identify(client, png(1)), enroll(client, "ada", png(50))):
            assert_problem(response, 500, "unexpected error")
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["connection"] == "close"
            assert "secret" not in response.text
        assert_problem(client.get("/v1/subjects/ada"), 404)


def test_more_requests_than_places_are_refused(settings: Settings) -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowNet(ToyNet):
        def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
            entered.set()
            assert leave.wait(20)
            return super().maps(images)

    one_place = settings.model_copy(update={"max_concurrent": 1})
    app = make_app(one_place, load_only(SlowNet("alexnet", 0)))
    with ThreadPoolExecutor(1) as pool, local_client(app) as client:
        slow = pool.submit(identify, client, png(1))
        assert entered.wait(20)
        refused = identify(client, png(1))
        assert_problem(refused, 503, "try again")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/health/ready").status_code == 200
        leave.set()
        assert slow.result().status_code == 200
        assert identify(client, png(1)).status_code == 200


def test_a_free_place_is_given_without_any_patience(settings: Settings) -> None:
    impatient = settings.model_copy(update={"queue_timeout_s": 0})
    with local_client(make_app(impatient)) as client:
        assert identify(client, png(1)).status_code == 200


def test_the_thresholds_in_use_are_those_of_answers(client: TestClient) -> None:
    identified, verified = client.get("/v1/models").json()["thresholds"]
    subjects = client.get("/health/ready").json()["subjects"]
    assert identified["setting"] == "PALM_FPIR_TARGET"
    assert identified["fmr"] == pytest.approx(identified["target"] / subjects, rel=0.01)
    answer = verify(client, "p001", png(1, 1)).json()
    assert verified["fmr"] >= answer["threshold"]["fmr"]
    unchanged = next(step for step in verified["steps"] if step["by"] == 0)
    assert unchanged["target"] == pytest.approx(verified["target"])
