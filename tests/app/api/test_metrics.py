"""What `/metrics` tells, and what it keeps to itself."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from app.matching.maps import VeinMaps
from app.settings import Settings
from tests.app.api.conftest import (
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
from tests.app.api.test_access import bearer, key
from tests.app.api.test_startup import load_broken, start

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: TestClient, **headers: str) -> Samples:
    """Reads `/metrics` by Prometheus' own parser."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def requests(samples: Samples) -> dict[tuple[str, str, str, str], float]:
    """Returns the numbers of requests, by method, route, status and problem."""
    counted = {
        tuple(dict(labels)[one] for one in ("method", "route", "status", "problem")): count
        for (name, labels), count in samples.items()
        if name == "palm_requests_total"
    }
    return {one: count for one, count in counted.items() if one[1] != "/metrics"}  # type: ignore


def test_requests_are_counted_by_route_and_outcome(client: TestClient) -> None:
    identify(client, png(1))
    identify(client)
    for subject_id in ("p001", "p002", "ghost", "ghost"):
        client.get(f"/v1/subjects/{subject_id}")
    client.head("/v1/subjects/p001")
    client.head("/health/ready")
    client.get("/health/live", headers={"Host": "evil.example"})
    client.request("BREW", "/v1/coffee")
    for number in range(9):
        client.get(f"/v1/subjects/p001/{number}")
    samples = scrape(client)
    subject = "/v1/subjects/{subject_id}"
    assert requests(samples) == {
        ("POST", "/v1/identify", "2xx", "none"): 1,
        ("POST", "/v1/identify", "4xx", "request-invalid"): 1,
        ("GET", subject, "2xx", "none"): 2,
        ("GET", subject, "4xx", "subject-unknown"): 2,
        ("HEAD", subject, "2xx", "none"): 1,
        ("HEAD", "/health/ready", "2xx", "none"): 1,
        ("GET", "other", "4xx", "host-unknown"): 1,
        ("other", "other", "4xx", "404"): 1,
        ("GET", "other", "4xx", "404"): 9,
    }
    assert value(samples, "palm_request_seconds_count", route=subject) == 5
    assert value(samples, "palm_request_seconds_sum", route=subject) > 0


def test_an_error_of_the_service_is_counted(settings: Settings) -> None:
    net = ToyNet("alexnet", 0)

    def fail(_images: NDArray[np.uint8]) -> VeinMaps:
        raise RuntimeError

    net.maps = fail
    app = make_app(settings, load_only(net))
    with local_client(app, raise_server_exceptions=False) as client:
        assert identify(client, png(1)).status_code == 500
        assert requests(scrape(client)) == {("POST", "/v1/identify", "5xx", "500"): 1}


def test_decisions_and_stages_are_counted(client: TestClient) -> None:
    answers = [
        identify(client, png(1)).json(),
        identify(client, png(77)).json(),
        verify(client, "p001", png(1)).json(),
    ]
    assert [one["decision"] for one in answers] == ["match", "no_match", "match"]
    enroll(client, "ada", png(50))
    samples = scrape(client)
    for operation, decision, count in [
        ("identify", "match", 1),
        ("identify", "no_match", 1),
        ("identify", "inconclusive", 0),
        ("verify", "match", 1),
        ("verify", "no_match", 0),
    ]:
        labels = {"operation": operation, "decision": decision}
        assert value(samples, "palm_decisions_total", **labels) == count, labels
    for stage in ("decode", "find", "nets", "search"):
        assert value(samples, "palm_stage_seconds_count", stage=stage) == 4
    shown = sum(one["timings_ms"]["nets"] for one in answers) / 1000
    assert value(samples, "palm_stage_seconds_sum", stage="nets") > shown - 0.0002
    assert ("palm_stage_seconds_count", frozenset({("stage", "total")})) not in samples
    assert value(samples, "palm_queue_seconds_count") == 4


def test_scores_are_no_finer_than_answers_without_the_scope_scores(client: TestClient) -> None:
    found = identify(client, png(1)).json()
    score, threshold = found["candidates"][0]["score"], found["threshold"]["score"]
    coarse = floor(2 * score) / 2
    assert coarse < threshold <= score  # so the bucket of the exact margin would be another one
    samples = scrape(client)
    assert value(samples, "palm_score_margin_bucket", decision="match", le="0.0") == 1
    assert value(samples, "palm_score_margin_bucket", decision="match", le="-1.0") == 0
    assert value(samples, "palm_best_score_bucket", decision="match", le=f"{int(coarse)}.0") == 0
    assert value(samples, "palm_best_score_count", decision="match") == 1
    # The sum would tell each score to whoever reads it between two requests.
    assert not {"palm_best_score_sum", "palm_score_margin_sum"} & {name for name, _ in samples}


def test_refusals_for_quality_are_counted_by_component(settings: Settings) -> None:
    strict = settings.model_copy(update={"quality_probe": 100})
    with local_client(make_app(strict)) as client:
        refused = [identify(client, png(1)).json() for _ in range(2)]
        samples = scrape(client)
    components = [one["field"].rpartition(".")[2] for one in refused[0]["errors"]]
    assert len(components) > 1
    counted = {
        dict(labels)["component"]: count
        for (name, labels), count in samples.items()
        if name == "palm_quality_refusals_total"
    }
    assert counted == dict.fromkeys(components, 2)


def test_the_present_state_is_told(client: TestClient) -> None:
    before = scrape(client)
    assert value(before, "palm_ready") == 1
    assert value(before, "palm_outage") == 0
    assert value(before, "palm_places") == 2
    assert value(before, "palm_places_busy") == value(before, "palm_queue_waiting") == 0
    assert value(before, "palm_net_info", net="vgg16", version="1") == 1
    assert value(before, "process_open_fds") > 0
    assert value(before, "process_resident_memory_bytes") > 2**20
    enroll(client, "ada", png(50), png(50, 1))
    enroll(client, "bob", png(51))
    client.delete("/v1/subjects/bob")
    after = scrape(client)
    assert value(after, "palm_gallery_subjects") == value(before, "palm_gallery_subjects") + 1
    assert value(after, "palm_gallery_templates") == 2 * 3  # of two images by three nets
    assert value(after, "palm_gallery_revision") > value(before, "palm_gallery_revision")
    assert value(after, "palm_gallery_erasures") == 1
    assert value(after, "palm_gallery_erasures_pending") == 0


def test_busy_places_and_waiting_requests_are_told(settings: Settings) -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowNet(ToyNet):
        def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
            entered.set()
            assert leave.wait(20)
            return super().maps(images)

    patient = settings.model_copy(update={"max_concurrent": 1, "queue_timeout_s": 20})
    app = make_app(patient, load_only(SlowNet("alexnet", 0)))
    with ThreadPoolExecutor(2) as pool, local_client(app) as client:
        slow = pool.submit(identify, client, png(1))
        assert entered.wait(20)
        second = pool.submit(identify, client, png(1))
        try:
            while value(samples := scrape(client), "palm_queue_waiting") == 0:
                pass
            assert value(samples, "palm_places_busy") == 1
        finally:
            leave.set()
        assert slow.result().status_code == second.result().status_code == 200
        samples = scrape(client)
        assert value(samples, "palm_places_busy") == value(samples, "palm_queue_waiting") == 0
        assert value(samples, "palm_queue_seconds_sum") > 0


def test_metrics_name_nobody_and_no_key(client: TestClient) -> None:
    sent = key(client, "identify", "verify", "enroll", "read", "erase", "metrics")
    client.headers.update(sent)
    enroll(client, "ada-left", png(50), name="Ada Byron", camera="gate", collection="staff")
    verify(client, "ada-left", png(50))
    client.get("/v1/subjects/ada-left")
    client.get("/v1/subjects", params={"name": "Ada"})
    client.delete("/v1/subjects/ada-left")
    text = client.get("/metrics").text
    key_id = sent["Authorization"].split("_")[1]
    for secret in ("ada", "Byron", "gate", "staff", "secret-file-name", key_id, "127.0.0.1"):
        assert secret.lower() not in text.lower()
    assert "_created" not in text  # when somebody first came


def test_two_applications_of_one_process_count_for_themselves(
    client: TestClient, tmp_path: Path, settings: Settings
) -> None:
    other = settings.model_copy(update={"gallery_url": f"sqlite:///{tmp_path}/other.db"})
    other = other.model_copy(update={"audit_file": None, "master_key_file": tmp_path / "other"})
    identify(client, png(1))
    with local_client(make_app(other)) as second:
        labels = {"operation": "identify", "decision": "match"}
        assert value(scrape(second), "palm_decisions_total", **labels) == 0
    assert value(scrape(client), "palm_decisions_total", **labels) == 1


def test_with_broken_nets_the_rest_is_told(settings: Settings) -> None:
    with start(settings, load_broken) as client:
        samples = scrape(client)
    assert value(samples, "palm_ready") == 0
    assert value(samples, "palm_part_up", part="nets") == 0
    assert value(samples, "palm_part_up", part="gallery") == 1
    assert value(samples, "palm_gallery_templates") == 0
    assert "palm_gallery_subjects" not in {name for name, _ in samples}


def test_while_no_key_can_be_checked_everybody_learns_which_parts_work_and_nothing_else(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "gallery.db").write_bytes(b"no gallery" * 1000)
    app = make_app(settings)
    with TestClient(app, base_url="http://localhost", client=("192.0.2.1", 50_000)) as stranger:
        assert_problem(stranger.get("/v1/models"), 503)
        samples = scrape(stranger, **bearer("anything"))
    assert {name for name, _ in samples} == {"palm_ready", "palm_part_up", "palm_outage"}
    assert value(samples, "palm_ready") == 0
    assert value(samples, "palm_part_up", part="gallery") == 0
    assert value(samples, "palm_part_up", part="finder") == 1


def test_an_audit_log_that_cannot_be_written_is_told(
    client: TestClient, settings: Settings
) -> None:
    file: Any = settings.audit_file
    assert value(scrape(client), "palm_part_up", part="audit") == 1
    file.unlink()
    file.mkdir()
    assert identify(client, png(1)).status_code == 503
    assert value(scrape(client), "palm_part_up", part="audit") == 0
    file.rmdir()
    assert identify(client, png(1)).status_code == 200
    assert value(scrape(client), "palm_part_up", part="audit") == 1


def test_of_scrapes_only_refused_ones_are_audited(client: TestClient, settings: Settings) -> None:
    good, other = key(client, "metrics"), key(client, "read")
    file: Any = settings.audit_file
    before = file.read_text()
    assert client.get("/metrics", headers=good).status_code == 200
    assert file.read_text() == before
    assert client.get("/metrics", headers=other).status_code == 403
    assert client.get("/metrics", headers=bearer("palm_wrong")).status_code == 401
    lines = file.read_text()[len(before) :].splitlines()
    assert ['"status":403' in lines[0], '"status":401' in lines[1], len(lines)] == [True, True, 2]
