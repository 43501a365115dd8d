"""A toy net in its own models store, as complete as an export."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from app.nets.files import NetCorrupt

SIDE, SIZE = 32, 16
MAP = (8, 8, 4)
IDENTITIES = ("p001", "p002", "p003", "p004")
TEMPERATURE = 0.1
CASES = [
    {
        "mean_map": mean_map,
        "templates": templates,
        "probes": 1,
        "temperature": TEMPERATURE,
        "thresholds": [
            {"fmr": 0.01, "score": 0.3, "comparisons": 640_000},
            {"fmr": 0.0001, "score": 0.5, "comparisons": 640_000},
        ],
    }
    for mean_map in (False, True)
    for templates in (1, 3)
]


class ToyNet(tf.Module):
    """One random convolution with a map, one dense layer, a cosine classifier."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.kernel = tf.Variable(rng.normal(0, 0.3, (3, 3, 3, 8)).astype(np.float32))
        self.dense = tf.Variable(rng.normal(0, 0.1, (8 * 8 * 8, SIZE)).astype(np.float32))
        rows = rng.normal(size=(len(IDENTITIES), SIZE))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        self.prototypes = tf.Variable((rows / lengths).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8, name="images")])
    def serve(self, images: Any) -> dict[str, Any]:
        x = tf.cast(images, tf.float32) / 255 - 0.5
        mask = tf.cast(tf.reduce_mean(x[:, ::4, ::4], -1) < 0.45, tf.float32)
        x = tf.nn.conv2d(x, self.kernel, 4, "SAME")
        mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
        maps = (x - mean) * tf.math.rsqrt(variance + 1e-5) * mask[..., None]
        x = tf.nn.relu(x)
        x = tf.reshape(x, [-1, 8 * 8 * 8]) @ self.dense
        embedding = tf.math.l2_normalize(x, axis=1)
        similarity = embedding @ tf.transpose(self.prototypes)
        return {
            "map": maps[..., : MAP[2]],
            "mask": mask,
            "embedding": embedding,
            "similarity": similarity,
            "probabilities": tf.nn.softmax(similarity / TEMPERATURE),
        }


def checksum(content: Any) -> str:
    """Computes the checksum of JSON content, as an independent reference."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def seal(folder: Path, **changes: Any) -> None:
    """Changes fields of a version's manifest, then updates its checksums."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    manifest["files"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    manifest.pop("sha256", None)
    manifest["sha256"] = checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def add_version(models_dir: Path, net: str, version: int) -> None:
    """Copies toy/1 to another net or version."""
    folder = models_dir / net / str(version)
    shutil.copytree(models_dir / "toy/1", folder)
    seal(folder, net=net, version=version)


def fusion_cases(temperature: float) -> list[dict[str, Any]]:
    """Returns one case with one threshold."""
    thresholds = [{"fmr": 0.01, "score": 0.4, "comparisons": 1000}]
    return [{**CASES[0], "temperature": temperature, "thresholds": thresholds}]


def write_fusions(models_dir: Path, *entries: dict[str, Any]) -> None:
    """Writes fusion.json; an entry's fields override those of toy/1 and other/1."""
    fusions = [
        {
            "nets": ["toy/1", "other/1"],
            "weights": [0.75, 0.25],
            "cases": fusion_cases(0.07),
            **entry,
        }
        for entry in entries
    ]
    content = {
        "schema_version": 4,
        "created_at": "2026-01-02T03:04:05+00:00",
        "sha256": checksum(fusions),
        "fusions": fusions,
    }
    (models_dir / "fusion.json").write_text(json.dumps(content))


def export(folder: Path) -> None:
    """Writes the toy net as version `folder.name` of the net `folder.parent.name`."""
    net = ToyNet()
    tf.saved_model.save(net, str(folder), signatures={"serving_default": net.serve})
    rng = np.random.default_rng(1)
    owners = np.repeat(np.arange(len(IDENTITIES), dtype=np.int32), 2)
    np.savez(
        folder / "templates.npz",
        owners=owners,
        values=rng.integers(-40, 41, (len(owners), *MAP), dtype=np.int8),
        usable=np.ones((len(owners), *MAP[:2]), bool),
        scales=np.tile(np.float32([0.1, 0.02, 0]), (len(owners), 1)),
    )
    images = rng.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    images[1, 8:16] = 255  # a reflection
    outputs = {name: value.numpy() for name, value in net.serve(tf.constant(images)).items()}
    np.savez(folder / "golden.npz", images=images, **outputs)
    manifest = {
        "schema_version": 6,
        "net": folder.parent.name,
        "version": int(folder.name),
        "created_at": "2026-01-02T03:04:05+00:00",
        "input": {"height": SIDE, "width": SIDE, "channels": 3, "dtype": "uint8"},
        "embedding_size": SIZE,
        "map_side": MAP[0],
        "map_channels": MAP[2],
        "template_id": "0123456789abcdef",
        "identities": list(IDENTITIES),
        "cases": CASES,
        "strangers": ["1" * 64],
        "training": {"epochs": 0},
        "dataset": {
            "name": "noise",
            "sha256": "0" * 64,
            "split": "session",
            "split_seed": None,
            "training_images": 8,
        },
        "metrics": {"validation_accuracy": 1.0, "validation_images": 4},
        "code_revision": "none",
        "libraries": {"tensorflow": tf.__version__},
        "files": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a models store with toy/1, shared by all tests."""
    models_dir = tmp_path_factory.mktemp("models_store")
    export(models_dir / "toy" / "1")
    return models_dir


@pytest.fixture
def models_dir(exported: Path, tmp_path: Path) -> Path:
    """Returns a copy of that store, which the test may change."""
    return Path(shutil.copytree(exported, tmp_path / "models_store"))


@pytest.fixture
def two_nets(models_dir: Path) -> Path:
    """Returns a models store with toy/1 and other/1, and their fusion."""
    add_version(models_dir, "other", 1)
    write_fusions(models_dir, {})
    return models_dir


def assert_one_line(refusal: pytest.ExceptionInfo[NetCorrupt]) -> None:
    """A refusal is one line without addresses, and says how to go on."""
    assert "\n" not in str(refusal.value)
    assert "http" not in str(refusal.value)
    assert "restore" in str(refusal.value)
