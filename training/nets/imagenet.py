"""ImageNet weights for the convolutions of VGG16 and VGG19 with their original filters."""

from pathlib import Path

import keras

DONORS = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}


def load_imagenet(scores: keras.Model, weights_file: Path | None) -> None:
    """Copies Keras's ImageNet kernels into the layers of the same names.

    Args:
        scores: VGG16 or VGG19 with original filters and plain convolutions.
        weights_file: weights in the layout of `keras.applications` without top, as .h5; None
            downloads Keras's own, once.

    Raises:
        ValueError: if Keras has no such weights, the net is built otherwise, or the file is not
            of that layout.
        OSError: if the file cannot be read, or the download fails.
    """
    require_weights(scores.name, weights_file)
    donor = _load_donor(scores.name, weights_file)
    ours = {layer.name: layer for layer in scores.layers}
    for layer in donor.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        twin = ours.get(layer.name)
        shapes = [w.shape for w in twin.weights] if isinstance(twin, keras.layers.Conv2D) else []
        if shapes != [w.shape for w in layer.weights]:
            raise ValueError(
                f"{layer.name} does not fit ImageNet's {tuple(layer.kernel.shape)}: transfer "
                "needs --filters original and --normalization none (--preset transfer)"
            )
        twin.set_weights(layer.get_weights())


def require_weights(net: str, weights_file: Path | None) -> None:
    """Raises what `load_imagenet` would, as far as names tell."""
    if net not in DONORS:
        raise ValueError(
            f"Keras has no ImageNet weights for {net}: train it from scratch "
            f"(--weights none), or choose {' or '.join(DONORS)}"
        )
    if weights_file is not None and not weights_file.is_file():
        raise OSError(f"{weights_file} is not there: --weights-file names Keras's .h5 without top")


def _load_donor(net: str, weights_file: Path | None) -> keras.Model:
    if weights_file is None:
        try:
            return DONORS[net](include_top=False, weights="imagenet")
        except Exception as error:  # urllib's and Keras's, as the network fails
            raise OSError(
                f"Keras could not download the ImageNet weights of {net} ({error}): give them "
                "as --weights-file"
            ) from error
    donor = DONORS[net](include_top=False, weights=None)
    try:
        donor.load_weights(weights_file)
    except Exception as error:  # h5py's and Keras's, whatever the file holds
        raise ValueError(
            f"{weights_file} does not hold {net}'s weights in the layout of keras.applications "
            f"without top ({' '.join(str(error).split())[:200]})"
        ) from error
    return donor
