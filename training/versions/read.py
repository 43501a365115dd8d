"""An exported net as a service would use it: the SavedModel and what its manifest says."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.similarity import similarities
from app.palm.views import probe_views
from training.database.palms import Palms
from training.database.split import Split
from training.fit.batches import in_batches
from training.metrics.calibration import Calibration

BATCH = 16
"""Images at a time, each in all its views."""

SCHEMA_VERSION = 3
"""Of manifest.json; 1 knew one embedding of a image, 2 no mirror images."""

Float32 = NDArray[np.float32]
Views = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From uint8 [B, S, S, 3] to what a net is shown of each image, uint8 [B, ..., S, S, 3]."""


def checksum(said: Any) -> str:
    """SHA-256 of what a file says, as JSON without spaces, keys sorted; the service computes it."""
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


class Artefact:
    """One version of a net, loaded with TensorFlow.

    Attributes:
        key: name and version, such as "vgg16/1".
        identities: labels in the order of the similarities.
        input_px: side of the images that it takes.
        calibration: what its similarities mean.
        dataset: what it was trained on and how that was split, as its manifest says.
    """

    def __init__(self, folder: Path) -> None:
        """Loads `<store>/<net>/<version>`.

        Raises:
            ValueError: if another release of this package exported it.
        """
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"{folder} was exported by another release of this package: export the net again"
            )
        self.key = f"{manifest['net']}/{manifest['version']}"
        self.identities = tuple(manifest["identities"])
        self.input_px: int = manifest["input"]["height"]
        self.calibration = Calibration.of(manifest)
        self.dataset: dict[str, Any] = manifest["dataset"]
        self._model = tf.saved_model.load(str(folder))  # owns the variables
        self._serve = self._model.signatures["serving_default"]
        self._prototypes = np.load(folder / manifest["prototypes_file"]).astype(np.float32)

    def similarities(self, palms: Palms) -> Float32:
        """float32 [N, C] of all images, in order, as the service compares them."""
        return similarities(self.embeddings(palms, probe_views), self._prototypes)

    def embeddings(self, palms: Palms, views: Views) -> Float32:
        """float32 [N, ..., D] of all images, in order; see `embed_views`."""
        return embed_views(
            lambda images: self._serve(images=tf.constant(images))["embedding"],
            palms,
            views,
            self.key,
        )


def embed_views(
    embed: Callable[[NDArray[np.uint8]], tf.Tensor], palms: Palms, views: Views, name: str
) -> Float32:
    """Embeddings of all images as the service shows them to a net.

    Args:
        embed: from uint8 [B, S, S, 3] to float32 [B, D].
        palms: the images.
        views: `probe_views` or `template_views` of `app.palm.views`, or what else makes
            uint8 [B, ..., S, S, 3] of uint8 [B, S, S, 3].
        name: what is said to run.

    Returns:
        float32 [N, ..., D], in order.
    """
    parts: list[Float32] = []
    for images in tqdm(in_batches(palms, BATCH), name, -(-len(palms) // BATCH)):
        shown = views(images)
        found = np.asarray(embed(shown.reshape(-1, *images.shape[1:])))
        parts.append(found.reshape(*shown.shape[:-3], -1))
    return np.concatenate(parts)


def load_highest(store: Path, nets: tuple[str, ...], split: Split) -> list[Artefact]:
    """The highest version of each net, to be judged on the test of what it was trained on.

    Raises:
        FileNotFoundError: if a net has no version.
        ValueError: if a net takes images of another size, or was trained on other identities or
            on images that this split has in its validation or test.
    """
    artefacts = load_for_size(store, nets, split.test.pixels.shape[1])
    for artefact in artefacts:
        _require_same_split(artefact, split)
        if artefact.identities != split.test.identities:
            raise ValueError(
                f"{artefact.key} was trained on other identities than those in the data: "
                "train the nets on one database"
            )
    return artefacts


def load_for_size(store: Path, nets: tuple[str, ...], size_px: int) -> list[Artefact]:
    """The highest version of each net, whatever it was trained on.

    Raises:
        FileNotFoundError: if a net has no version.
        ValueError: if a net takes images of another size.
    """
    artefacts = [Artefact(_highest(store / net)) for net in nets]
    for artefact in artefacts:
        if artefact.input_px != size_px:
            raise ValueError(
                f"{artefact.key} takes images of {artefact.input_px} px, and these have "
                f"{size_px}: give --size-px {artefact.input_px}"
            )
    return artefacts


def _require_same_split(artefact: Artefact, split: Split) -> None:
    dataset = artefact.dataset
    trained = dataset["split"], dataset["split_seed"]
    if trained != (split.kind, split.seed):
        theirs, ours = (
            kind if seed is None else f"{kind}, seed {seed}"
            for kind, seed in (trained, (split.kind, split.seed))
        )
        raise ValueError(
            f"{artefact.key} was trained on a split by {theirs}, and this is one by {ours}: its "
            "training images would be judged; repeat the training's --split and --split-seed"
        )
    if split.seed is not None and dataset["sha256"] != split.test.sha256:
        raise ValueError(
            f"{artefact.key} was trained on other images; lots drawn from these would put some "
            "of its training images into the test: give the same --data and options"
        )


def _highest(folder: Path) -> Path:
    present = [p for p in folder.glob("*") if p.name.isdecimal()]
    if not present:
        raise FileNotFoundError(f"{folder} holds no version: export the net first")
    return max(present, key=lambda p: int(p.name))
