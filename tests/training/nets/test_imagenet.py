"""Transfer from a weights file of the layout of Keras's own, which the test writes."""

from dataclasses import asdict, replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from tests.training.toy_palms import make_palms
from training.commands.train import TrainConfig, train
from training.fit.batches import Batches
from training.fit.loop import fit
from training.fit.plan import Plan
from training.nets.build import build_net, scoring_model
from training.nets.imagenet import load_imagenet, require_weights
from training.nets.recipe import PRESETS, Recipe

TRANSFER = replace(PRESETS["transfer"], head="embedding", augment="none")
"""The convolutions of the preset, without the paper's large head."""


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5, with numbers of its own."""
    path = tmp_path_factory.mktemp("imagenet") / "notop.h5"
    donor = keras.applications.VGG16(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in donor.layers]
        for layer in donor.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{w.name}:0".encode() for w in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                scale = np.sqrt(2 / np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 0.01
                group[name.decode()] = rng.normal(0, scale, weight.shape).astype(np.float32)
    return path


def kernel(file: Path, layer: str) -> np.ndarray:
    with h5py.File(file) as weights:
        return weights[layer][layer]["kernel:0"][()]


def test_every_convolution_starts_from_the_files_weights(weights_file: Path) -> None:
    scores = scoring_model(build_net("vgg16", 3, TRANSFER, input_px=32))
    load_imagenet(scores, weights_file)
    for layer in ("block1_conv1", "block3_conv3", "block5_conv3"):
        np.testing.assert_array_equal(
            scores.get_layer(layer).kernel.numpy(), kernel(weights_file, layer)
        )


class KeepKernel(keras.callbacks.Callback):
    """Keeps a convolution's kernel after every epoch."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer
        self.kernels: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.kernels.append(self.model.get_layer(self.layer).kernel.numpy())


def test_train_starts_from_the_files_weights_and_freezes_them(
    weights_file: Path, database: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        **asdict(replace(TRANSFER, freeze_epochs=1)),
        net="vgg16",
        data=database,
        out=tmp_path / "run",
        size_px=32,
        epochs=1,
        batch_size=4,
        precision="float32",
        guard="off",
        weights_file=weights_file,
    )
    kept = KeepKernel("block1_conv1")
    train(config, callbacks=[kept])
    np.testing.assert_array_equal(kept.kernels, [kernel(weights_file, "block1_conv1")])


def test_convolutions_are_trained_after_the_frozen_epochs() -> None:
    net = keras.Sequential(
        [
            keras.Input((1, 1, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 1, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    before = net.get_layer("conv").kernel.numpy()
    kept = KeepKernel("conv")
    fit(
        {"toy": net},
        lambda epoch: Batches(make_palms(3, 1, 4), 4, 1, epoch=epoch),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        Plan.of(replace(TRANSFER, freeze_epochs=1, learning_rate=0.1), 2),
        seed=1,
        callbacks=[kept],
    )
    np.testing.assert_array_equal(kept.kernels[0], before)
    assert not np.array_equal(kept.kernels[1], before)


def test_a_net_of_other_filters_is_refused(weights_file: Path) -> None:
    reduced = Recipe(normalization="none", input="imagenet")
    with pytest.raises(ValueError, match=r"block1_conv1 has another shape.*--filters original"):
        load_imagenet(scoring_model(build_net("vgg16", 3, reduced, input_px=32)), weights_file)


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    scores = scoring_model(build_net("vgg16", 3, TRANSFER, input_px=32))
    (tmp_path / "weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"weights\.h5 does not hold vgg16's weights"):
        load_imagenet(scores, tmp_path / "weights.h5")


def test_a_net_without_imagenet_weights_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no ImageNet weights for alexnet.*choose vgg16 or vgg19"):
        require_weights("alexnet", None)
    with pytest.raises(OSError, match=r"none\.h5 is not there"):
        require_weights("vgg16", tmp_path / "none.h5")
