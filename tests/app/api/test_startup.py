"""The start: what is logged, and a service with broken parts."""

import logging
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs]

from app.ensemble import Ensemble
from app.main import create_app
from app.nets.manifest import NetCorrupt
from app.palm.views import TEMPLATE_VIEWS
from app.settings import Settings
from tests.app.api.conftest import (
    EMBEDDING_SIZE,
    Load,
    assert_problem,
    images,
    load_toy_ensemble,
    png,
)

FORM = {"subject_id": "ada"}


def load_broken(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
    raise NetCorrupt("models_store/vgg16/1/saved_model.pb has another checksum")


def start(settings: Settings, load: Load = load_toy_ensemble) -> TestClient:
    return TestClient(create_app(settings, load_ensemble=load))


def requests_for_palms(client: TestClient) -> list[Any]:
    """Sends every request that needs nets and gallery."""
    return [
        client.get("/health/ready"),
        client.post("/v1/identify", files=images(png(1))),
        client.post("/v1/enroll", data=FORM, files=images(png(1))),
        client.post("/v1/verify", data=FORM, files=images(png(1))),
    ]


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture
def gallery_path(settings: Settings) -> Path:
    return Path(settings.gallery_url.removeprefix("sqlite:///"))


def test_the_start_is_logged_with_what_is_served(
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


def test_broken_nets_leave_the_service_up_and_not_ready(
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


def spoil(path: Path, how: str) -> None:
    if how == "corrupt":
        path.write_bytes(b"no gallery" * 1000)
    else:
        path.chmod(0o444)


@pytest.mark.parametrize("how", ["corrupt", "read-only"])
def test_a_broken_gallery_leaves_the_service_up_and_not_ready(
    settings: Settings, gallery_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with start(settings):
        pass
    spoil(gallery_path, how)
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


def test_a_service_with_everything_broken_names_everything(
    settings: Settings, gallery_path: Path
) -> None:
    spoil(gallery_path, "corrupt")
    with start(settings, load_broken) as client:
        assert_problem(client.get("/health/ready"), 503, "saved_model.pb", str(gallery_path))


def test_a_missing_models_folder_is_named(settings: Settings, tmp_path: Path) -> None:
    moved = settings.model_copy(update={"models_dir": tmp_path / "elsewhere"})
    with TestClient(create_app(moved)) as client:
        assert_problem(client.get("/health/ready"), 503, str(tmp_path / "elsewhere"))


def test_blas_s_threads_leave_the_cores_to_the_nets(settings: Settings) -> None:
    with start(settings):
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert set(threads) == {1}


def damage(path: Path, template: bytes) -> None:
    """Overwrites one net's templates of all enrolled subjects."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE templates SET vector = ? WHERE net = 'vgg16'", (template,))
        file.commit()


def template(number: float, views: int = math.prod(TEMPLATE_VIEWS)) -> bytes:
    """Returns a sound template, except that its first view is filled with `number`."""
    vectors = np.zeros((views, EMBEDDING_SIZE), "<f4")
    vectors[:, 0] = 1
    vectors[0] = number
    return vectors.tobytes()


DAMAGED = {
    **{str(number): template(number) for number in (np.nan, np.inf, 3e38, 0, 1)},
    "of an earlier release, which mirrored nothing": template(EMBEDDING_SIZE**-0.5, views=5),
    "cut short": template(EMBEDDING_SIZE**-0.5)[:-3],
}


def test_a_sound_template_is_none_of_the_damaged(settings: Settings, gallery_path: Path) -> None:
    with start(settings) as client:
        client.post("/v1/enroll", data=FORM, files=images(png(50)))
        damage(gallery_path, template(EMBEDDING_SIZE**-0.5))
        client.post("/v1/enroll", data={"subject_id": "eve"}, files=images(png(51)))
        assert client.post("/v1/identify", files=images(png(1))).json()["decision"] == "match"


@pytest.mark.parametrize("stored", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_template_keeps_everybody_from_a_wrong_answer_until_it_is_deleted(
    settings: Settings, gallery_path: Path, caplog: pytest.LogCaptureFixture, stored: bytes
) -> None:
    with start(settings) as client:
        client.post("/v1/enroll", data=FORM, files=images(png(50)))
        damage(gallery_path, stored)
        client.post("/v1/enroll", data={"subject_id": "eve"}, files=images(png(51)))
    with start(settings) as client:
        (reason,) = messages(caplog, logging.WARNING)
        assert "vgg16/1" in reason
        for response in (
            client.get("/health/ready"),
            client.post("/v1/identify", files=images(png(1))),
            client.post("/v1/verify", data={"subject_id": "p001"}, files=images(png(1))),
        ):
            assert_problem(response, 503, "subject 'ada' (1 in all)", "vgg16/1", "delete")
        assert client.get("/health/live").status_code == 200
        assert client.delete("/v1/subjects/ada").status_code == 204
        assert client.get("/health/ready").status_code == 200
        assert client.post("/v1/identify", files=images(png(1))).json()["decision"] == "match"
