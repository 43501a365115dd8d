"""The files in deploy/ and the documentation name only metrics that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.server import REPOSITORY
from tests.app.api.conftest import identify, png

DEPLOY = REPOSITORY / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
METRIC = re.compile(r"\b(?:palm|process)_[a-z_]+\b")
LABELS = re.compile(r"\b((?:palm|process)_[a-z_]+)\{([^}]*)\}")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana" / "dashboards" / "palm.json").read_text())


def expressions() -> Iterator[str]:
    """Yields what the alert rules and the dashboard ask Prometheus for."""
    yield from (rule["expr"] for rule in rules())
    shown = dashboard()
    yield from (one["expr"] for panel in shown["panels"] for one in panel.get("targets", ()))
    yield from (one["query"]["query"] for one in shown["templating"]["list"])


@pytest.fixture(scope="module")
def samples(shared_client: TestClient) -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    identify(shared_client, png(1))
    shared_client.get("/v1/subjects/p001")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(shared_client.get("/metrics").text):
        found.setdefault(family.name, set())
        for one in family.samples:
            found.setdefault(one.name, set()).update(one.labels)
    # No image was refused, so it has no series yet.
    return {**found, "palm_quality_refusals_total": {"component"}}


def test_rules_and_dashboard_ask_only_for_metrics_and_labels_that_there_are(
    samples: dict[str, set[str]],
) -> None:
    of_prometheus = {"instance", "job"}
    asked: set[str] = set()
    for expression in expressions():
        asked |= {*METRIC.findall(expression)}
        for name, selector in LABELS.findall(expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=|!~)", selector))
            assert labels <= samples[name] | of_prometheus, expression
    assert asked <= samples.keys()
    assert len(asked) > 20


def test_every_metric_is_documented_and_no_other(samples: dict[str, set[str]]) -> None:
    text = (REPOSITORY / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert len(rows) == len(set(rows))
    histograms = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples}
    shown = {name for name in histograms if name.startswith("palm_")}
    counters = {name.removesuffix("_total") for name in shown if name.endswith("_total")}
    assert {name for name in rows if name.startswith("palm_")} == shown - counters
    assert {name for name in rows if not name.startswith("palm_")} <= samples.keys()


def test_every_alert_is_documented_and_tested() -> None:
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    text = (REPOSITORY / "docs" / "monitoring.md").read_text()
    assert set(re.findall(r"^\| `(Palm\w+)` \|", text, re.MULTILINE)) == alerts
    tested = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yml").read_text())["tests"]
    assert {one["alertname"] for test in tested for one in test["alert_rule_test"]} == alerts


def test_each_recorded_series_that_is_asked_for_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for text in expressions() for name in re.findall(r"palm:[a-z0-9_:]+", text)}
    assert asked == recorded


def test_compose_starts_monitoring_on_this_machine_only_with_files_that_there_are() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    started = {
        name: service
        for name, service in compose["services"].items()
        if service.get("profiles") == ["monitoring"]
    }
    assert started.keys() == {"prometheus", "grafana"}
    for service in started.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        mounted = [one.split(":")[0] for one in service["volumes"]]
        for source in mounted:
            exists = (REPOSITORY / source).is_dir()
            assert exists if source.startswith("./") else source in compose["volumes"]
    assert started["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].endswith(":-}")
    assert 'test -n "$$GF_SECURITY_ADMIN_PASSWORD"' in started["grafana"]["entrypoint"][-1]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (scrape,) = config["scrape_configs"]
    names = {name for found in scrape["dns_sd_configs"] for name in found["names"]}
    assert names <= compose["services"].keys()
    (secret,) = started["prometheus"]["secrets"]
    assert scrape["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert secret in compose["secrets"]
