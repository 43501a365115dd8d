"""Reads versions of nets from models_store/<net>/<version>/.

Keras and TensorFlow are imported only where a net is run or built, so that other commands start
fast.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import Calibration
from app.matching.maps import VeinMaps, join_maps
from app.matching.scores import Cohort
from app.matching.templates import NetKey, TrainedTemplates
from app.nets.files import NetCorrupt
from app.nets.manifest import Dataset, Manifest, highest_version, read_manifest, verify_files
from app.nets.trained import read_trained
from training.database.palms import Palms
from training.database.split import Split
from training.nets.recipe import Recipe, recipe_of
from training.versions.compare import compare_trained

if TYPE_CHECKING:
    import keras

BATCH = 64
"""Images that a net runs on at a time."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Version:
    """One version of a net on disk; its SavedModel is loaded when it is first needed.

    Attributes:
        folder: models_store/<net>/<version>.
        manifest: manifest of the version.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens models_store/<net>/<version> and verifies the checksum of every file.

        Raises:
            app.nets.manifest.NetMissing: if there is no such folder.
            app.nets.manifest.NetCorrupt: if a file is missing or was changed after the export.
        """
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        return cls(folder, manifest)

    @property
    def key(self) -> NetKey:
        """The net's name and version."""
        return self.manifest.key

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities that the net knows, in the order of the scores."""
        return self.manifest.identities

    @property
    def input_px(self) -> int:
        """Side of the input images."""
        return self.manifest.input.height

    @property
    def calibration(self) -> Calibration:
        """The calibration of the net's scores."""
        return self.manifest.calibration

    @property
    def recipe(self) -> Recipe:
        """The recipe by which the net was built and trained."""
        return recipe_of(self.manifest.training)

    @property
    def dataset(self) -> Dataset:
        """The database whose identities the net knows."""
        return self.manifest.dataset

    @cached_property
    def trained(self) -> TrainedTemplates:
        """The templates of the identities that the net knows."""
        return read_trained(self.folder, self.manifest)

    @cached_property
    def cohort(self) -> Cohort:
        """Other palms, with which every map is compared to find its scale."""
        return Cohort.of(self.trained)

    def maps(self, palms: Palms, skin: NDArray[np.bool_] | None = None) -> VeinMaps:
        """Returns the vein maps of all images, in order, as the service computes them.

        Args:
            palms: the images.
            skin: bool [N, S, S], which pixels lie on the hand; None if all do.
        """
        return self.run(palms, skin)[0]

    def scores(self, palms: Palms) -> Float32:
        """Returns float32 [N, C], every image's score with each identity that the net knows."""
        return compare_trained(self.maps(palms), self.trained, str(self.key))

    def run(self, palms: Palms, skin: NDArray[np.bool_] | None = None) -> tuple[VeinMaps, Float32]:
        """Returns the vein maps of all images and their embeddings of unit length, in order.

        The maps are those of `maps`; the embeddings are float32 [N, D].
        """
        done = 0
        maps = [VeinMaps.empty(self.manifest.map_format.shape)]
        embeddings = [np.empty((0, self.manifest.embedding_size), np.float32)]
        for outputs in self._outputs(palms):
            found = VeinMaps.of(outputs["map"], outputs["mask"])
            if skin is not None:
                found = found.within(skin[done : done + len(found)])
            done += len(found)
            maps.append(self.cohort.scaled(found))
            embeddings.append(outputs["embedding"])
        return join_maps(maps), np.concatenate(embeddings)

    def _outputs(self, palms: Palms) -> Iterator[dict[str, Float32]]:
        """Yields the SavedModel's outputs for `BATCH` images at a time."""
        import tensorflow as tf

        serve = self._saved_model.signatures["serving_default"]
        with tqdm(total=len(palms), desc=f"{self.key}: running", unit="image", delay=1) as bar:
            for start in range(0, len(palms), BATCH):
                grey = palms.images(slice(start, start + BATCH))
                outputs = serve(images=tf.constant(np.repeat(grey[..., None], 3, axis=-1)))
                yield {name: np.asarray(output) for name, output in outputs.items()}
                bar.update(len(grey))

    def model(self, side_px: int | None = None, identities: int | None = None) -> "keras.Model":
        """Builds the net in Keras, with plain convolutions and the version's weights.

        Args:
            side_px: side of the input images, by default `input_px`. It must give the first
                convolution an input of the same side; see `training.nets.build.working_side`.
            identities: number of random prototypes. By default the net has the version's own
                prototypes.

        Returns:
            A model from uint8 [B, S, S, 3] to the outputs of `training.nets.build.build_net`.

        Raises:
            app.nets.manifest.NetCorrupt: if the weights are not those of the manifest's net.
        """
        from training.nets.build import build_net

        net = build_net(
            self.key.net,
            identities or len(self.identities),
            self.recipe,
            input_px=side_px or self.input_px,
            folded=True,
        )
        random = net.get_layer("similarity").weights if identities else []
        names = {variable.path for variable in random}
        set_stored_weights(net, self._saved_model.weights, self.folder, except_for=names)
        return net

    @cached_property
    def _saved_model(self) -> Any:
        import tensorflow as tf

        return tf.saved_model.load(str(self.folder))


def set_stored_weights(
    net: "keras.Model",
    weights: Sequence[Any],
    folder: Path,
    *,
    except_for: Collection[str] = (),
) -> None:
    """Sets the weights of a net with plain convolutions to those of a SavedModel.

    Args:
        net: the net.
        weights: the SavedModel's variables, in the order of `training.versions.write.save_halves`.
        folder: folder of the version, for the message.
        except_for: paths of variables that keep their values.

    Raises:
        app.nets.manifest.NetCorrupt: if the weights are not those of this net.
    """
    variables = net.trainable_variables + net.non_trainable_variables
    pairs = [
        (variable, np.asarray(stored))
        for variable, stored in zip(variables, weights, strict=False)
        if variable.path not in except_for
    ]
    if len(variables) != len(weights) or any(v.shape != stored.shape for v, stored in pairs):
        raise NetCorrupt(
            f"the weights in {folder} are not those of the net in its manifest: another release "
            "of this package exported it, so train and export the net again"
        )
    for variable, stored in pairs:
        variable.assign(stored.astype(variable.dtype))


def copy_body(source: "keras.Model", target: "keras.Model") -> None:
    """Copies all weights except the prototypes, the map's included.

    Args:
        source: a net with plain convolutions, such as from `Version.model`.
        target: the same net, with plain or with standardised convolutions.
    """
    from training.nets.layers import ScaledConv2D

    for layer in target.layers:
        if not layer.weights or layer.name == "similarity":
            continue
        weights = source.get_layer(layer.name).get_weights()
        if isinstance(layer, ScaledConv2D):
            layer.set_folded_weights(weights)
        else:
            layer.set_weights(weights)


def open_highest(store: Path, nets: Sequence[str], size_px: int) -> list[Version]:
    """Opens the highest version of each net.

    Args:
        store: the models store.
        nets: names of the nets.
        size_px: side of the input images.

    Raises:
        ValueError: if a net is named twice, has no version, or has input images of another size.
    """
    if repeated := [net for i, net in enumerate(nets) if net in nets[:i]]:
        raise ValueError(f"--nets names {repeated[0]} twice: name each net once")
    versions = [Version.open(highest_version(store, net)) for net in nets]
    for version in versions:
        if version.input_px != size_px:
            raise ValueError(
                f"{version.key} takes images of {version.input_px} px, not of {size_px} px: give "
                f"--size-px {version.input_px}"
            )
    return versions


def open_highest_of_split(store: Path, nets: Sequence[str], split: Split) -> list[Version]:
    """Opens the highest version of each net, and checks that it was trained on this split.

    The validation and test parts of another split may hold images that a net was trained on.

    Raises:
        ValueError: see `open_highest`; or if a net was trained on other identities or on another
            split.
    """
    versions = open_highest(store, nets, split.test.pixels.shape[1])
    for version in versions:
        _require_same_split(version, split)
        if version.identities != split.test.identities:
            raise ValueError(
                f"{version.key} was trained on other identities than those in the data: train the "
                "nets on one database"
            )
    return versions


def _require_same_split(version: Version, split: Split) -> None:
    dataset = version.dataset
    trained, given = (dataset.split, dataset.split_seed), (split.kind, split.seed)
    if trained != given:
        theirs, ours = (
            kind if seed is None else f"{kind}, seed {seed}" for kind, seed in (trained, given)
        )
        raise ValueError(
            f"{version.key} was trained on a split by {theirs}, and this split is by {ours}, so "
            "the test may hold its training images: give the training's --split and --split-seed"
        )
    if split.seed is not None and dataset.sha256 != split.test.sha256:
        raise ValueError(
            f"{version.key} was trained on another database, so a random split of this one may "
            "put its training images into the test: give the training's --data and options"
        )
