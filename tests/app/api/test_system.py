"""Health, nets, documentation, errors, overload, and how the service starts."""

import asyncio
import json
import logging
import math
import re
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.types import Message, Receive, Scope, Send
from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs]

from app.api.middleware import StartupErrors
from app.ensemble import Ensemble
from app.gallery.gallery import GalleryUnusable
from app.main import create_app
from app.matching.fusion import Fusion
from app.nets.manifest import NetCorrupt
from app.palm.views import TEMPLATE_VIEWS
from app.settings import Settings
from tests.app.api.conftest import EMBEDDING_SIZE, ToyNet, images, load_toy_ensemble, png
from tests.app.api.test_identify import assert_problem


def test_health(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_the_nets_are_listed(client: TestClient) -> None:
    models = client.get("/v1/models").json()
    nets = models["nets"]
    assert [net["net"] for net in nets] == ["alexnet", "vgg16", "vgg19"]
    assert nets[0]["trained_identities"] == 3
    assert nets[0]["embedding_size"] == EMBEDDING_SIZE
    assert nets[0]["thresholds"] == [
        {"similarity": 0.5, "fmr": 0.01},
        {"similarity": 0.6, "fmr": 0.0001},
    ]
    assert models["weights"] == [0.25, 0.25, 0.5]
    assert models["thresholds"] == nets[0]["thresholds"]


def test_broken_nets_leave_the_service_alive_but_not_ready(settings: Settings) -> None:
    def fail(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
        raise NetCorrupt("models_store/vgg16/1/saved_model.pb has another checksum")

    with TestClient(create_app(settings, load_ensemble=fail)) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/v1/subjects").status_code == 200
        form = {"subject_id": "ada"}
        for response in (
            client.get("/health/ready"),
            client.get("/v1/models"),
            client.post("/v1/identify", files=images(png(1))),
            client.post("/v1/enroll", data=form, files=images(png(1))),
            client.post("/v1/verify", data=form, files=images(png(1))),
        ):
            assert_problem(response, 503, "vgg16/1/saved_model.pb")


def test_a_missing_models_folder_is_named(settings: Settings, tmp_path: Path) -> None:
    moved = settings.model_copy(update={"models_dir": tmp_path / "elsewhere"})
    with TestClient(create_app(moved)) as client:
        assert_problem(client.get("/health/ready"), 503, str(tmp_path / "elsewhere"))


def test_blas_s_threads_leave_the_cores_to_the_nets(settings: Settings) -> None:
    with TestClient(create_app(settings, load_ensemble=load_toy_ensemble)):
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert set(threads) == {1}


def damage(gallery_url: str, template: bytes) -> None:
    """Overwrites one template of everybody who is enrolled."""
    with closing(sqlite3.connect(gallery_url.removeprefix("sqlite:///"))) as file:
        file.execute("UPDATE templates SET vector = ? WHERE net = 'vgg16'", (template,))
        file.commit()


def template(number: float, views: int = math.prod(TEMPLATE_VIEWS)) -> bytes:
    """A sound template, but that `number` is all of its first view."""
    vectors = np.zeros((views, EMBEDDING_SIZE), "<f4")
    vectors[:, 0] = 1
    vectors[0] = number
    return vectors.tobytes()


DAMAGED = {
    **{str(number): template(number) for number in (np.nan, np.inf, 3e38, 0, 1)},
    "of an earlier release, which mirrored nothing": template(EMBEDDING_SIZE**-0.5, views=5),
    "cut short": template(EMBEDDING_SIZE**-0.5)[:-3],
}


def test_a_sound_template_is_none_of_the_damaged(settings: Settings) -> None:
    with TestClient(create_app(settings, load_ensemble=load_toy_ensemble)) as client:
        client.post("/v1/enroll", data={"subject_id": "ada"}, files=images(png(50)))
        damage(settings.gallery_url, template(EMBEDDING_SIZE**-0.5))
        client.post("/v1/enroll", data={"subject_id": "eve"}, files=images(png(51)))
        assert client.post("/v1/identify", files=images(png(1))).json()["decision"] == "match"


@pytest.mark.parametrize("stored", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_template_keeps_everybody_from_a_wrong_answer_until_it_is_deleted(
    settings: Settings, caplog: pytest.LogCaptureFixture, stored: bytes
) -> None:
    with TestClient(create_app(settings, load_ensemble=load_toy_ensemble)) as client:
        client.post("/v1/enroll", data={"subject_id": "ada"}, files=images(png(50)))
        damage(settings.gallery_url, stored)
        client.post("/v1/enroll", data={"subject_id": "eve"}, files=images(png(51)))
    logging.getLogger("app.main").addHandler(caplog.handler)
    with TestClient(create_app(settings, load_ensemble=load_toy_ensemble)) as client:
        logging.getLogger("app.main").removeHandler(caplog.handler)
        assert "vgg16/1" in caplog.text
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


def test_a_net_that_computes_nonsense_spoils_neither_an_answer_nor_the_gallery(
    settings: Settings,
) -> None:
    class BrokenNet(ToyNet):
        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().embed(images) * np.float32(np.nan)

    def load(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
        return Ensemble((BrokenNet("alexnet", 0),), Fusion((1.0,), ToyNet.calibration))

    app = create_app(settings, load_ensemble=load)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert_problem(client.post("/v1/identify", files=images(png(1))), 500)
        response = client.post("/v1/enroll", data={"subject_id": "ada"}, files=images(png(50)))
        assert_problem(response, 500)
        assert_problem(client.get("/v1/subjects/ada"), 404)


def test_more_requests_than_places_are_refused(settings: Settings) -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowNet(ToyNet):
        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            entered.set()
            assert leave.wait(20)
            return super().embed(images)

    def load(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
        return Ensemble((SlowNet("alexnet", 0),), Fusion((1.0,), ToyNet.calibration))

    one_place = settings.model_copy(update={"max_concurrent": 1})
    with TestClient(create_app(one_place, load_ensemble=load)) as client:
        answers: list[int] = []

        def identify() -> None:
            answers.append(client.post("/v1/identify", files=images(png(1))).status_code)

        slow = threading.Thread(target=identify)
        slow.start()
        assert entered.wait(20)
        refused = client.post("/v1/identify", files=images(png(1)))
        assert_problem(refused, 503, "try again")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health/ready").status_code == 200
        leave.set()
        slow.join()
        identify()
        assert answers == [200, 200]


def test_a_free_place_is_given_without_any_patience(settings: Settings) -> None:
    impatient = settings.model_copy(update={"queue_timeout_s": 0})
    with TestClient(create_app(impatient, load_ensemble=load_toy_ensemble)) as client:
        assert client.post("/v1/identify", files=images(png(1))).status_code == 200


def test_an_unexpected_error_is_a_problem_that_gives_nothing_away(settings: Settings) -> None:
    class BrokenNet(ToyNet):
        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise RuntimeError("secret internals")

    def load(_models_dir: Path, _names: Sequence[str], _engine: str) -> Ensemble:
        return Ensemble((BrokenNet("alexnet", 0),), Fusion((1.0,), ToyNet.calibration))

    app = create_app(settings, load_ensemble=load)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post("/v1/identify", files=images(png(1)))
        assert_problem(response, 500)
        assert "secret" not in response.text


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert_problem(client.get("/v1/nothing"), 404, "/docs")
    response = client.put("/v1/identify")
    assert_problem(response, 405, "PUT", "/docs")
    assert response.headers["allow"] == "POST"


def test_a_callers_request_id_is_kept_unless_it_is_odd(client: TestClient) -> None:
    kept = client.get("/health/live", headers={"x-request-id": "trace-1.a"})
    assert kept.headers["x-request-id"] == "trace-1.a"
    replaced = client.get("/health/live", headers={"x-request-id": 'x" {}'})
    assert re.fullmatch("[0-9a-f]{32}", replaced.headers["x-request-id"])


def test_the_documentation_needs_no_internet(client: TestClient) -> None:
    page = client.get("/docs").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(asset.endswith(".js") for asset in assets)
    for asset in assets:
        assert asset.startswith("/")
        assert client.get(asset).status_code == 200
    assert "http" not in page.replace("http-equiv", "")
    assert client.get("/redoc").status_code == 404


def test_every_route_is_documented_for_a_person(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "http://" not in json.dumps(document)
    assert "https://" not in json.dumps(document)
    assert "Problem" in document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
    form = document["components"]["schemas"]["Body_identify_v1_identify_post"]
    assert form["properties"]["images"]["items"] == {"type": "string", "format": "binary"}


def test_a_failure_to_start_is_told_in_one_line_however_many_it_has() -> None:
    async def fails(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            raise GalleryUnusable("gallery.db is corrupt:\npage 7\npage 8") from OSError("why")
        except GalleryUnusable:
            message = traceback.format_exc()
        await send({"type": "lifespan.startup.failed", "message": message})

    async def start(said: list[Message]) -> None:
        async def receive() -> Message:
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            said.append(message)

        await StartupErrors(fails, GalleryUnusable)({"type": "lifespan"}, receive, send)

    said: list[Message] = []
    asyncio.run(start(said))
    assert [message["message"] for message in said] == ["gallery.db is corrupt: page 7 page 8"]


@pytest.mark.parametrize("spoil", ["corrupt", "read-only"])
def test_an_unusable_gallery_stops_the_start_in_one_line(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "gallery.db"
    if spoil == "corrupt":
        path.write_bytes(b"no gallery" * 1000)
    else:
        url = f"sqlite:///{path}"
        with TestClient(create_app(Settings(gallery_url=url), load_ensemble=load_toy_ensemble)):
            pass
        path.chmod(0o444)
    before = path.read_bytes()
    started = subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
        env={"PALM_GALLERY_URL": f"sqlite:///{path}", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode != 0
    assert str(path) in started.stderr
    assert "Traceback" not in started.stderr
    assert path.read_bytes() == before
