"""Loads ImageNet weights into the convolutions of VGG16 and VGG19 with their original filters."""

from pathlib import Path

import keras

DONORS = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}
"""Nets for which Keras has ImageNet weights."""


def load_imagenet(scores: keras.Model, weights_file: Path | None) -> None:
    """Copies Keras's ImageNet weights into the convolutions of the same names.

    Args:
        scores: VGG16 or VGG19 with original filters and plain convolutions.
        weights_file: the .h5 file of `keras.applications` without top; None downloads it.

    Raises:
        ValueError: if Keras has no weights for this net, a convolution has another shape, or the
            file has another layout.
        OSError: if the file cannot be read, or the download fails.
    """
    require_weights(scores.name, weights_file)
    donor = _load_donor(scores.name, weights_file)
    plain, donated = (
        {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
        for model in (scores, donor)
    )
    for name, layer in donated.items():
        target = plain.get(name)
        shapes = [weight.shape for weight in layer.weights]
        if target is None or [weight.shape for weight in target.weights] != shapes:
            raise ValueError(
                f"{name} has another shape than its ImageNet weights, {tuple(shapes[0])}: give "
                "--filters original and --normalization none (--preset transfer)"
            )
        target.set_weights(layer.get_weights())


def require_weights(net: str, weights_file: Path | None) -> None:
    """Checks before a training that there can be ImageNet weights for a net.

    Raises:
        ValueError: if Keras has no weights for this net.
        OSError: if `weights_file` is not a file.
    """
    if net not in DONORS:
        raise ValueError(
            f"Keras has no ImageNet weights for {net}: train it from scratch "
            f"(--weights none), or choose {' or '.join(DONORS)}"
        )
    if weights_file is not None and not weights_file.is_file():
        raise OSError(f"{weights_file} is not there: --weights-file is Keras's .h5 without top")


def _load_donor(net: str, weights_file: Path | None) -> keras.Model:
    try:
        return DONORS[net](include_top=False, weights=str(weights_file or "imagenet"))
    except Exception as error:  # urllib, h5py and Keras raise many kinds
        if weights_file is None:
            raise OSError(
                f"Keras could not download the ImageNet weights of {net} ({error}): give a file "
                "with --weights-file"
            ) from error
        raise ValueError(
            f"{weights_file} does not hold {net}'s weights in the layout of keras.applications "
            f"without top ({' '.join(str(error).split())[:200]})"
        ) from error
