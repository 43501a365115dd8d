"""Measures a net, after every epoch and at the end, on images that it is not trained on."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from tqdm import tqdm

from training.database.palms import Palms
from training.fit.outputs import predict
from training.fit.prototypes import mean_templates
from training.metrics.open_set import (
    compiled_embedder,
    compiled_mapper,
    measure_maps,
    measure_open_set,
)
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import Style

STRANGERS_SEED = 1_000_003
"""Seed of the synthetic strangers; no training draws its own palms with it."""


class OpenSetMonitor(keras.callbacks.Callback):
    """Adds `<prefix>_rank_1` and `<prefix>_eer` to the logs, for untrained identities.

    With maps also `<prefix>_map_rank_1` and `<prefix>_map_eer`, the figures of the vein maps.
    """

    def __init__(
        self,
        palms: Palms,
        batch_size: int = 64,
        *,
        prefix: str = "val",
        net: keras.Model | None = None,
        maps: bool = False,
    ) -> None:
        """Creates the callback.

        Args:
            palms: images of at least two identities, for `measure_open_set`.
            batch_size: images embedded at a time.
            prefix: prefix of the names in the logs.
            net: the net to measure, with an embedding head; by default the trained model.
            maps: whether to measure the net's vein maps too.
        """
        super().__init__()
        self._prefix = prefix
        self._palms = palms
        self._batch_size = batch_size
        self._net = net
        self._maps = maps
        self._embed: Callable[[Any], Any] | None = None
        self._map: Callable[[Any], Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Runs the net on all images and compares them."""
        net: Any = self._net or self.model
        self._embed = self._embed or compiled_embedder(net)
        found = measure_open_set(self._embed, self._palms, self._batch_size)
        if self._maps:
            self._map = self._map or compiled_mapper(net)
            found |= measure_maps(self._map, self._palms, self._batch_size)
        if logs is not None:
            logs.update({f"{self._prefix}_{name}": value for name, value in found.items()})


class ValidationAccuracy(keras.callbacks.Callback):
    """Adds `val_accuracy` to the logs: the share of probes most similar to their own template."""

    def __init__(self, net: keras.Model, train: Palms, validation: Palms) -> None:
        """Creates the callback.

        Args:
            net: the net to measure, with an embedding head.
            train: images whose mean embeddings are the templates.
            validation: probes of the same identities.
        """
        super().__init__()
        self._train, self._validation = train, validation
        self._embed = compiled_embedder(net)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Embeds both parts and compares them."""
        embeddings = predict(self._embed, self._train)
        identities = len(self._train.identities)
        templates = mean_templates(embeddings, self._train.labels, identities)
        similarity = predict(self._embed, self._validation) @ templates.T
        correct = similarity.argmax(axis=1) == self._validation.labels
        if logs is not None:
            logs["val_accuracy"] = float(correct.mean())


def open_set_monitors(
    nets: Mapping[str, keras.Model], monitored: Mapping[str, Palms], batch_size: int
) -> list[OpenSetMonitor]:
    """Returns a monitor for each net and each set of images, with the prefix `<net>_<set>`.

    The monitors measure embeddings and vein maps.
    """
    return [
        OpenSetMonitor(palms, batch_size, prefix=f"{name}_{prefix}", net=net, maps=True)
        for name, net in nets.items()
        for prefix, palms in monitored.items()
    ]


def monitored_strangers(count: int, style: Style, side_px: int) -> Palms:
    """Draws the synthetic strangers that monitor a training, with two sessions of two shots each.

    Args:
        count: number of identities.
        style: family of the cameras.
        side_px: side of the images.
    """
    return draw_strangers(count, STRANGERS_SEED, style, side_px=side_px)


def measure_strangers(
    net: keras.Model, monitored: Mapping[str, Palms]
) -> dict[str, dict[str, float]]:
    """Returns the figures of a net's embeddings and vein maps for each set of images.

    Returns:
        By the set's name, the results of `measure_open_set` and of `measure_maps`.
    """
    embed, run = compiled_embedder(net), compiled_mapper(net)
    return {
        name: measure_with_progress(embed, palms, f"{net.name}: {name} strangers")
        | measure_with_progress(
            run, palms, f"{net.name}: maps of {name} strangers", measure=measure_maps
        )
        for name, palms in monitored.items()
    }


def measure_with_progress(
    run: Callable[[Any], Any],
    palms: Palms,
    name: str,
    batch_size: int = 64,
    *,
    measure: Callable[..., dict[str, float]] = measure_open_set,
) -> dict[str, float]:
    """Returns the results of a measurement, and shows a progress bar named `name`.

    Args:
        run: the net's function.
        palms: the images to compare.
        name: name of the progress bar.
        batch_size: images that the net runs on at a time.
        measure: `measure_open_set`, or `measure_maps`.
    """
    with tqdm(total=len(palms), desc=name, unit="image") as bar:

        def run_and_count(images: Any) -> Any:
            output = run(images)
            bar.update(len(images))
            return output

        return measure(run_and_count, palms, batch_size)
