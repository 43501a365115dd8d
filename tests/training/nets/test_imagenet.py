"""Transfer from a weights file that the test makes, in the layout of Keras's own."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from training.commands.train import phases_of, train
from training.fit.settings import TrainConfig
from training.nets.build import build_net, scoring_model
from training.nets.imagenet import load_imagenet
from training.nets.recipe import PRESETS, Recipe


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
    scores = scoring_model(build_net("vgg16", 3, PRESETS["transfer"], input_px=32))
    load_imagenet(scores, weights_file)
    for layer in ("block1_conv1", "block3_conv3", "block5_conv3"):
        np.testing.assert_array_equal(
            scores.get_layer(layer).kernel.numpy(), kernel(weights_file, layer)
        )


def test_convolutions_are_frozen_first_and_fine_tuned_after(
    weights_file: Path, database: Path, tmp_path: Path
) -> None:
    recipe = PRESETS["transfer"]
    options = {name: getattr(recipe, name) for name in Recipe.__dataclass_fields__}
    # One small Dense instead of two of 4096: this is about the convolutions.
    options |= {"head": "embedding", "freeze_epochs": 1, "learning_rate": 1e-3}
    config = TrainConfig(
        net="vgg16",
        data=database,
        out=tmp_path / "run",
        size_px=32,
        epochs=2,
        batch_size=4,
        precision="float32",
        weights_file=weights_file,
        **options,
    )
    assert [(p.end, p.frozen, p.learning_rate) for p in phases_of(config, config.epochs)] == [
        (1, True, 1e-3),
        (2, False, pytest.approx(1e-4)),
    ]
    kernels: list[np.ndarray] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            kernels.append(self.model.get_layer("block1_conv1").kernel.numpy())

    import training.commands.train as module

    original = module.callbacks_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "callbacks_of", lambda *args: [Look(), *original(*args)])
        train(config)
    np.testing.assert_array_equal(kernels[0], kernel(weights_file, "block1_conv1"))
    assert not np.array_equal(kernels[1], kernels[0])


def test_a_net_of_other_filters_is_refused(weights_file: Path) -> None:
    reduced = Recipe(normalization="none", input="imagenet")
    with pytest.raises(ValueError, match=r"block1_conv1 does not fit.*--filters original"):
        load_imagenet(scoring_model(build_net("vgg16", 3, reduced, input_px=32)), weights_file)


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    scores = scoring_model(build_net("vgg16", 3, PRESETS["transfer"], input_px=32))
    (tmp_path / "weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"weights\.h5 does not hold vgg16's weights"):
        load_imagenet(scores, tmp_path / "weights.h5")
