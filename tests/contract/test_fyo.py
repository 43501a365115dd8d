"""A database in FYO's layout, from its files to an identification over HTTP."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.nets.manifest import read_manifest
from app.nets.store import load_ensemble, load_nets
from app.settings import Settings
from tests.app.api.conftest import local_client, make_app
from training.__main__ import main
from training.synthetic.palms import photograph
from training.synthetic.styles import TRAINING

PERSONS, SHOTS, SIDE_PX = 4, 3, 64
HANDS = "LR"


@pytest.fixture(scope="module")
def fyo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws both hands of four persons in two sessions, named as in FYO."""
    folder = tmp_path_factory.mktemp("fyo")
    for person in range(1, PERSONS + 1):
        for hand, letter in enumerate(HANDS):
            palm = photograph(2 * person + hand, seed=5, style=TRAINING, sessions=2, shots=SHOTS)
            for session, shots in enumerate(palm, start=1):
                target = folder / f"Subject {person}" / f"Session {session}"
                target.mkdir(parents=True, exist_ok=True)
                for shot, image in enumerate(shots, start=1):
                    name = f"s{person}_{shot}_{letter}_S{session}.jpg"
                    cv2.imwrite(str(target / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return folder


@pytest.fixture(scope="module")
def store(fyo: Path, strangers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains a net on persons, both hands of whom are one identity, and exports it."""
    folder = tmp_path_factory.mktemp("fyo-run")
    sized = ["--size-px", str(SIDE_PX), "--classes", "person"]
    short = ["--epochs", "1", "--batch-size", "8", "--precision", "float32", "--guard", "off"]
    run = ["--net", "alexnet", "--data", str(fyo), "--out", str(folder / "run")]
    assert main(["train", *run, *sized, *short]) == 0
    data = ["--data", str(fyo), "--strangers", str(strangers), "--store", str(folder / "store")]
    assert main(["export", "--run", str(folder / "run"), *data]) == 0
    return folder / "store"


def test_both_hands_of_a_person_have_templates(store: Path) -> None:
    (net,) = load_nets(store, ["alexnet"], "openvino")
    assert len(net.identities) == PERSONS
    assert net.trained.counts.min() >= 2
    manifest = read_manifest(store / "alexnet/1")
    assert manifest.dataset.split == "session"


@pytest.mark.parametrize("hand", HANDS)
def test_either_hand_is_identified_over_http(
    store: Path, fyo: Path, tmp_path: Path, hand: str
) -> None:
    settings = Settings(
        models_dir=store,
        nets=("alexnet",),
        gallery_url=f"sqlite:///{tmp_path}/gallery.db",
        master_key_file=tmp_path / "master.key",
        audit_file=None,
        quality_probe=0,
    )
    person = 3
    image = fyo / f"Subject {person}" / "Session 1" / f"s{person}_1_{hand}_S1.jpg"
    with local_client(make_app(settings, load_ensemble)) as client:
        files = {"images": (image.name, image.read_bytes(), "image/jpeg")}
        answer = client.post("/v1/identify", files=files).json()
    assert answer["candidates"][0]["subject_id"] == read_manifest(store / "alexnet/1").identities[2]
    assert np.isfinite(answer["confidence"])
