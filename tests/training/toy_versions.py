"""A models store of toy nets with vein maps, and a database of toy palms for them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from app.matching.calibration import Case
from app.matching.maps import VeinMaps
from app.matching.templates import TrainedTemplates
from app.nets.fusion_manifest import FUSION_MANIFEST, FusionEntry, seal_fusions
from app.nets.manifest import (
    GOLDEN,
    MANIFEST,
    Dataset,
    InputSpec,
    Manifest,
    Metrics,
    seal_manifest,
)
from app.nets.trained import write_trained

SIDE_PX = 32
MAP_SIDE, CHANNELS = 16, 4
FILE_PX = 96
IDENTITIES = ("p000", "p001", "elsewhere")
NOW = datetime(2026, 1, 31, tzinfo=UTC)


class MapNet(tf.Module):
    """One random convolution: its standardised output is the map, its mean map the embedding."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.kernel = tf.Variable(rng.normal(size=(5, 5, 3, CHANNELS)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.uint8, "images")])
    def serve(self, images: Any) -> dict[str, Any]:
        """Returns the outputs of a version that the benchmark reads."""
        x = tf.nn.conv2d(tf.cast(images, tf.float32) / 255 - 0.5, self.kernel, 2, "SAME")
        mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
        maps = (x - mean) / tf.sqrt(variance + 1e-6)
        pooled = tf.reshape(tf.nn.avg_pool2d(maps, 4, 4, "SAME"), (-1, 16 * CHANNELS))
        return {
            "map": maps,
            "mask": tf.ones_like(maps[..., 0]),
            "embedding": tf.math.l2_normalize(pooled, axis=1),
        }


def write_toy_version(
    folder: Path, cases: tuple[Case, ...], *, seed: int = 1, sha256: str = "0" * 64
) -> None:
    """Writes a toy net as models_store/<net>/<version>.

    Args:
        folder: the version's folder.
        cases: the calibration of its maps.
        seed: seed of its weights.
        sha256: digest of the database that it was trained on.
    """
    net = MapNet(seed)
    tf.saved_model.save(net, str(folder), signatures={"serving_default": net.serve})
    np.savez(folder / GOLDEN, images=np.zeros(1))
    shape = (len(IDENTITIES), MAP_SIDE, MAP_SIDE)
    values = np.random.default_rng(seed).integers(-40, 41, (*shape, CHANNELS), np.int8)
    owners = np.arange(len(IDENTITIES), dtype=np.int32)
    write_trained(folder, TrainedTemplates(owners, VeinMaps(values, np.ones(shape, bool))))
    manifest = Manifest(
        schema_version=6,
        cases=cases,
        net=folder.parent.name,
        version=int(folder.name),
        created_at=NOW,
        input=InputSpec(height=SIDE_PX, width=SIDE_PX, channels=3, dtype="uint8"),
        embedding_size=16 * CHANNELS,
        map_side=MAP_SIDE,
        map_channels=CHANNELS,
        template_id=f"{seed:016x}",
        identities=IDENTITIES,
        training={},
        dataset=Dataset(
            name="toy", sha256=sha256, split="session", split_seed=None, training_images=8
        ),
        metrics=Metrics(validation_accuracy=1.0, validation_images=4),
        code_revision="none",
        libraries={},
    )
    (folder / MANIFEST).write_text(seal_manifest(manifest, folder).as_json())


def write_toy_fusion(store: Path, nets: tuple[str, ...], cases: tuple[Case, ...]) -> None:
    """Writes fusion.json with equal weights of nets, each named as vgg16/1."""
    weights = (1 / len(nets),) * len(nets)
    entry = FusionEntry(cases=cases, nets=nets, weights=weights)
    (store / FUSION_MANIFEST).write_text(seal_fusions([entry], NOW).as_json())


def write_toy_palms(folder: Path, identities: int, sessions: int = 2, shots: int = 2) -> None:
    """Writes <identity>/<session>/<shot>.png: noisy images of each identity's own texture."""
    rng = np.random.default_rng(7)
    shared = _texture(rng)
    for identity in range(identities):
        own = _texture(rng)
        for session in range(sessions):
            target = folder / f"p{identity:03}" / f"s{session + 1}"
            target.mkdir(parents=True)
            for shot in range(shots):
                grey = 120 + 15 * shared + 25 * own + 12 * _texture(rng)
                image = np.clip(grey, 0, 255).astype(np.uint8)
                cv2.imwrite(str(target / f"{shot + 1:02}.png"), image)


def _texture(rng: np.random.Generator) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.normal(size=(FILE_PX, FILE_PX)), (0, 0), 3)
    return noise / noise.std()
