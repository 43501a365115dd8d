"""The start: what is logged, and a service with broken parts."""

import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs]

from app.ensemble import Ensemble
from app.matching.fusion import Fusion
from app.nets.files import NetCorrupt
from app.settings import Settings
from tests.app.api.conftest import (
    SHAPE,
    Load,
    ToyNet,
    assert_problem,
    enroll,
    identify,
    load_toy_ensemble,
    local_client,
    make_app,
    png,
    verify,
)
from tests.app.conftest import execute


def load_broken(*_: object) -> Ensemble:
    raise NetCorrupt("models_store/vgg16/1/saved_model.pb has another checksum")


def start(settings: Settings, load: Load = load_toy_ensemble) -> TestClient:
    return local_client(make_app(settings, load))


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
        "precision": "f32",
        "gallery": settings.gallery_url,
        "subjects": 3,
        "without_templates": 0,
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
            assert_problem(response, 503, "the nets could not be started", "log", "restart")
            assert "vgg16/1" not in response.text  # the log names files, an answer does not
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
        for response in [
            client.get("/v1/models"),
            *requests_for_palms(client),
            client.get("/v1/subjects"),
            client.get("/v1/subjects/p001"),
            client.delete("/v1/subjects/p001"),
        ]:
            assert_problem(response, 503, "the gallery could not be started", "log", "restart")
            assert str(gallery_path) not in response.text
    (reason,) = messages(caplog, logging.WARNING)
    assert str(gallery_path) in reason
    assert gallery_path.read_bytes() == before


def test_blas_s_threads_leave_the_cores_to_the_nets(settings: Settings) -> None:
    with start(settings):
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert set(threads) == {1}


def damage(path: Path, stored: str) -> None:
    """Overwrites one net's template of the subject who was enrolled first, by an expression."""
    first = "(SELECT min(map_id) FROM maps WHERE net = 'vgg16')"
    execute(path, f"UPDATE maps SET map = {stored} WHERE map_id = {first}")


SWAPPED = "(SELECT map FROM maps AS other WHERE net = 'vgg16' ORDER BY map_id DESC LIMIT 1)"
DAMAGED = {
    "empty": "x''",
    "cut short": "substr(map, 1, length(map) - 3)",
    "too long": "CAST(map || x'78' AS BLOB)",
    "plain": f"zeroblob({SHAPE.stored_bytes})",
    "another subject's": SWAPPED,
}


@pytest.mark.parametrize("stored", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_template_keeps_everybody_from_a_wrong_answer_until_it_is_deleted(
    settings: Settings, gallery_path: Path, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    with start(settings) as client:
        enroll(client, "ada", png(50))
        enroll(client, "eve", png(51))
        assert client.get("/health/ready").status_code == 200
        damage(gallery_path, stored)
        enroll(client, "bob", png(52))
    with start(settings) as client:
        (reason,) = messages(caplog, logging.WARNING)
        assert "'ada'" in reason
        assert "vgg16" in reason
        assert "delete" in reason
        for response in (
            client.get("/health/ready"),
            identify(client, png(1)),
            verify(client, "p001", png(1)),
        ):
            assert_problem(response, 503, "the gallery cannot be used", "log")
            assert "ada" not in response.json()["detail"]
        assert client.get("/health/live").status_code == 200
        assert client.delete("/v1/subjects/ada").status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert identify(client, png(1)).json()["decision"] == "match"


def renamed(*_: object) -> Ensemble:
    """Loads nets whose maps cannot be compared with those of the toy ensemble."""
    nets = tuple(ToyNet(name, seed) for name, seed in (("alexnet", 7), ("vgg16", 8)))
    return Ensemble(nets, Fusion((0.5, 0.5), ToyNet.calibration))


def test_after_a_change_of_nets_it_is_said_who_must_be_enrolled_again(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with start(settings) as client:
        enroll(client, "ada", png(50))
        enroll(client, "p001", png(1), add="true")
    with start(settings, renamed) as client:
        (warning,) = messages(caplog, logging.WARNING)
        assert "cannot be identified: 1;" in warning
        assert "python -m app outdated" in warning
        ready = client.get("/health/ready").json()
        assert (ready["subjects"], ready["without_templates"]) == (3, 1)
        assert client.get("/v1/models").json()["gallery"]["without_templates"] == 1
        assert client.get("/v1/subjects").json()["without_templates"] == 1
        assert identify(client, png(50)).json()["decision"] == "no_match"
        assert_problem(verify(client, "ada", png(50)), 409, "add=true")
        enroll(client, "ada", png(50, 1), add="true")
        assert client.get("/v1/subjects").json()["without_templates"] == 0
        assert identify(client, png(50)).json()["decision"] == "match"


def test_a_gallery_that_is_too_large_for_the_calibration_is_reported(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    strict = settings.model_copy(update={"fpir_target": 1e-4})  # the lowest FMR is 1e-4
    with start(strict) as client:
        (warning,) = messages(caplog, logging.WARNING)
        assert "3 subjects" in warning
        assert "0.0003" in warning
        assert client.get("/v1/models").json()["gallery"]["fpir"] == 0.0003
