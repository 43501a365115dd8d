"""The whole application with toy nets of 32 px and a real gallery file."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from app.ensemble import Ensemble
from app.main import create_app
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion
from app.matching.maps import MapShape, VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey, TrainedTemplates
from app.palm.finder import Finder
from app.settings import Settings
from app.wiring import LoadEnsemble
from tests.app.conftest import encode
from tests.app.palm.toy_net import SIDE, see_hands_or_crops

SIZE_PX = 32
IDENTITIES = ("p001", "p002", "p003")
SHAPE = MapShape(16, 4)


def palm(seed: int, shot: int = 0) -> NDArray[np.uint8]:
    """Returns an image [96, 96] of palm `seed`; shots of one palm differ by noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6)).repeat(16, 0).repeat(16, 1)
    noise = np.random.default_rng(1000 * seed + shot).normal(0, 4, coarse.shape)
    return np.clip(coarse + noise, 0, 255).astype(np.uint8)


def png(seed: int, shot: int = 0) -> bytes:
    """The same as a file."""
    return encode(palm(seed, shot))


def images(*files: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Returns a multipart body's `images`."""
    return [("images", ("secret-file-name.png", file, "image/png")) for file in files]


def assert_problem(response: Any, status: int, *words: str) -> None:
    """Checks that the response is a problem of this status whose detail holds the words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    for word in words:
        assert word in problem["detail"]


def standardised(maps: NDArray[np.floating]) -> NDArray[np.float32]:
    """Standardises each channel of each map [B, S, S, C]."""
    centred = maps - maps.mean(axis=(1, 2), keepdims=True)
    return (centred / (centred.std(axis=(1, 2), keepdims=True) + 1e-6)).astype(np.float32)


class ToyNet:
    """Mixes of brightness and its gradients: the same palm stays alike, two palms do not."""

    input_px = SIZE_PX
    identities = IDENTITIES
    calibration = Calibration(
        (Case(False, 1, 1, 0.05, (Threshold(0.5, 1e-2), Threshold(0.6, 1e-4))),)
    )

    def __init__(self, net: str, seed: int) -> None:
        self.key = NetKey(net, 1)
        self.format = MapFormat(net, f"{seed:016x}", SHAPE)
        mix = np.random.default_rng(seed).normal(size=(4, SHAPE.channels))
        self._mix = np.linalg.qr(mix)[0]
        faces = [np.asarray(Image.fromarray(palm(i + 1)).resize((SIZE_PX,) * 2)) for i in range(3)]
        # Not a subclass's own maps: those are for requests.
        maps = ToyNet.maps(self, np.stack([np.stack([f] * 3, axis=-1) for f in faces]))
        self.trained = TrainedTemplates(np.arange(3, dtype=np.int32), maps)
        self.cohort = Cohort.of(self.trained)  # too few: scores are similarities
        self.test_pairs = maps[np.array([0, 0])]

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        grey = images.astype(np.float32).mean(axis=-1)
        step = SIZE_PX // SHAPE.side
        places = grey.reshape(len(grey), SHAPE.side, step, SHAPE.side, step).mean(axis=(2, 4))
        down, right = np.gradient(places, axis=(1, 2))
        features = standardised(np.stack([places, down, right, down * right], axis=-1))
        return VeinMaps.of(standardised(features @ self._mix), np.ones(places.shape, np.float32))


Load = LoadEnsemble


def load_only(net: ToyNet) -> Load:
    """Returns a loader of an ensemble of one net."""
    ensemble = Ensemble((net,), Fusion((1.0,), ToyNet.calibration))
    return lambda *_: ensemble


@cache
def toy_ensemble() -> Ensemble:
    nets = tuple(ToyNet(net, seed) for seed, net in enumerate(("alexnet", "vgg16", "vgg19")))
    return Ensemble(nets, Fusion((0.25, 0.25, 0.5), ToyNet.calibration))


def enroll(client: TestClient, subject_id: str, *files: bytes, **fields: str) -> Any:
    data = {"subject_id": subject_id, **fields}
    return client.post("/v1/enroll", data=data, files=images(*files))


def identify(client: TestClient, *files: bytes) -> Any:
    return client.post("/v1/identify", files=images(*files))


def verify(client: TestClient, subject_id: str, *files: bytes) -> Any:
    return client.post("/v1/verify", data={"subject_id": subject_id}, files=images(*files))


def load_toy_ensemble(*_: object) -> Ensemble:
    return toy_ensemble()


def load_toy_finder(_models_dir: Path, _engine: str) -> Finder:
    return Finder(see_hands_or_crops, SIDE, 0.5)


def make_app(
    settings: Settings,
    load: Load = load_toy_ensemble,
    load_finder: Callable[[Path, str], Finder] = load_toy_finder,
) -> FastAPI:
    """Creates the application with toy nets; the finder takes spots for hands."""
    return create_app(settings, load_ensemble=load, load_finder=load_finder)


def local_client(app: FastAPI, **options: Any) -> TestClient:
    """Returns a client on the service's own machine, who needs no key while there is none."""
    return TestClient(
        app, **{"base_url": "http://localhost", "client": ("127.0.0.1", 50_000), **options}
    )


def make_settings(folder: Path) -> Settings:
    return Settings(
        gallery_url=f"sqlite:///{folder}/gallery.db",
        master_key_file=folder / "master.key",
        audit_file=folder / "audit.jsonl",
        max_body_mb=1,
        queue_timeout_s=0.2,
        quality_enroll=0,  # toy palms are drawn in blocks
        quality_probe=0,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Starts an application for one test."""
    with local_client(make_app(settings)) as client:
        yield client


@pytest.fixture(scope="session")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Starts one application for all tests that leave its gallery unchanged."""
    app = make_app(make_settings(tmp_path_factory.mktemp("app")))
    with local_client(app) as client:
        yield client
