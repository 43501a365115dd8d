"""The start: what is logged, and a service with broken parts."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.palm.views import TEMPLATE_VIEWS
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs]

from app.ensemble import Ensemble
from app.main import create_app
from app.nets.manifest import NetCorrupt
from app.settings import Settings
from tests.app.api.conftest import (
    EMBEDDING_SIZE,
    Load,
    assert_problem,
    enroll,
    identify,
    load_toy_ensemble,
    png,
    verify,
)
from tests.app.conftest import execute


def load_broken(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
    raise NetCorrupt("models_store/vgg16/1/saved_model.pb has another checksum")


def start(settings: Settings, load: Load = load_toy_ensemble) -> TestClient:
    return TestClient(create_app(settings, load_ensemble=load))


def requests_for_palms(client: TestClient) -> list[Any]:
    """Sends every request that needs nets and gallery."""
    return [
        client.get("/health/ready"),
        identify(client, png(1)),
        enroll(client, "ada", png(1)),
        verify(client, "ada", png(1)),
    ]


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture
def gallery_path(settings: Settings) -> Path:
    return Path(settings.gallery_url.removeprefix("sqlite:///"))


def test_the_start_logs_what_is_served(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app")
    with start(settings):
        pass
    (line,) = [record for record in caplog.records if record.getMessage() == "ready"]
    assert line.fields == {
        "nets": ["alexnet/1", "vgg16/1", "vgg19/1"],
        "engine": "openvino",
        "gallery": settings.gallery_url,
        "subjects": 3,
        "fpir_target": 0.01,
        "fmr_target": 0.001,
    }


def test_with_broken_nets_the_service_is_not_ready(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with start(settings, load_broken) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/v1/subjects").status_code == 200
        for response in [*requests_for_palms(client), client.get("/v1/models")]:
            assert_problem(response, 503, "vgg16/1/saved_model.pb", "restart the service")
    (reason,) = messages(caplog, logging.WARNING)
    assert "vgg16/1/saved_model.pb" in reason
    assert "ready" not in messages(caplog)


@pytest.mark.parametrize("how", ["corrupt", "read-only"])
def test_with_a_broken_gallery_the_service_is_not_ready(
    settings: Settings, gallery_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with start(settings):
        pass
    if how == "corrupt":
        gallery_path.write_bytes(b"no gallery" * 1000)
    else:
        gallery_path.chmod(0o444)
    before = gallery_path.read_bytes()
    with start(settings) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/v1/models").status_code == 200
        for response in [
            *requests_for_palms(client),
            client.get("/v1/subjects"),
            client.get("/v1/subjects/p001"),
            client.delete("/v1/subjects/p001"),
        ]:
            assert_problem(response, 503, str(gallery_path), "restart the service")
    (reason,) = messages(caplog, logging.WARNING)
    assert str(gallery_path) in reason
    assert gallery_path.read_bytes() == before


def test_blas_s_threads_leave_the_cores_to_the_nets(settings: Settings) -> None:
    with start(settings):
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert set(threads) == {1}


def damage(path: Path, template: bytes) -> None:
    """Overwrites one net's template of the subject who was enrolled first."""
    first = "(SELECT min(rowid) FROM templates WHERE net = 'vgg16')"
    execute(path, f"UPDATE templates SET vector = ? WHERE rowid = {first}", template)


VECTORS = np.full((math.prod(TEMPLATE_VIEWS), EMBEDDING_SIZE), EMBEDDING_SIZE**-0.5, "<f4")
SOUND = VECTORS.tobytes()
DAMAGED = {
    "not a number": (VECTORS * np.nan).tobytes(),
    "not of unit length": (2 * VECTORS).tobytes(),
    "of an earlier release, which mirrored nothing": SOUND[: len(SOUND) // 2],
    "cut short": SOUND[:-3],
}


@pytest.mark.parametrize("stored", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_template_keeps_everybody_from_a_wrong_answer_until_it_is_deleted(
    settings: Settings, gallery_path: Path, caplog: pytest.LogCaptureFixture, stored: bytes
) -> None:
    with start(settings) as client:
        enroll(client, "ada", png(50))
        damage(gallery_path, SOUND)
        enroll(client, "eve", png(51))
        assert client.get("/health/ready").status_code == 200
        damage(gallery_path, stored)
        enroll(client, "bob", png(52))
    with start(settings) as client:
        (reason,) = messages(caplog, logging.WARNING)
        assert "vgg16/1" in reason
        for response in (
            client.get("/health/ready"),
            identify(client, png(1)),
            verify(client, "p001", png(1)),
        ):
            assert_problem(response, 503, "subject 'ada' (1 in all)", "vgg16/1", "delete")
        assert client.get("/health/live").status_code == 200
        assert client.delete("/v1/subjects/ada").status_code == 204
        assert client.get("/health/ready").status_code == 200
        assert identify(client, png(1)).json()["decision"] == "match"
