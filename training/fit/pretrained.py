"""What a pre-training comes to: nets are shown every palm once more, whitened and judged."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms
from training.fit.checkpoint import FINAL, read_history, save_whole, write_whole
from training.fit.devices import compiled
from training.fit.result import describe_environment, plot_history
from training.metrics.open_set import compiled_embedder, measure_open_set
from training.nets.build import NETS, embedding_model
from training.nets.whitening import whiten
from training.synthetic.stream import PalmStream

RESULT = "result.json"


def finish(
    nets: dict[str, keras.Model],
    stream: PalmStream,
    monitored: dict[str, Palms],
    settings: dict[str, Any],
    out: Path,
) -> None:
    """Whitens trained nets, judges them and writes what the run came to.

    Args:
        nets: by name, with an embedding head; they are changed.
        stream: a pair of images of every palm, that no epoch had.
        monitored: strangers to judge them on, by the prefix of their figures.
        settings: the run's configuration.
        out: its folder; each net has one of its own in it.
    """
    features, _ = layer_outputs(nets, "dense_norm", stream)
    for name, net in nets.items():
        whiten(net, features[name].reshape(-1, 2, features[name].shape[1]))
        embed = compiled_embedder(net)
        found = {
            prefix: measure_open_set(embed, some, settings["batch_size"])
            for prefix, some in monitored.items()
        }
        _conclude(name, settings, found, out)
        save_whole(embedding_model(net), out / name / FINAL)  # the last: it says that all is done


def layer_outputs(
    nets: dict[str, keras.Model], layer: str, stream: PalmStream
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int32]]:
    """Every net's outputs of a layer, float32 [N, D], for all of an epoch, and whose they are."""
    parts = {
        name: compiled(keras.Model(net.input, net.get_layer(layer).output))
        for name, net in nets.items()
    }
    outputs: dict[str, list[NDArray[Any]]] = {name: [] for name in nets}
    labels: list[NDArray[np.int32]] = []
    for images, whose in (stream[index] for index in range(len(stream))):
        labels.append(whose)
        for name, part in parts.items():
            outputs[name].append(keras.ops.convert_to_numpy(part(images)))
    joined = {name: np.concatenate(some).astype(np.float32) for name, some in outputs.items()}
    return joined, np.concatenate(labels)


def _conclude(net: str, settings: dict[str, Any], found: dict[str, Any], out: Path) -> None:
    """Writes result.json and history.png of one net."""
    history = [_of(net, row) for row in read_history(out)]
    result = {
        "net": net,
        "monitor": {"identities": settings["monitor"], "sessions": 2, "shots": 2},
        "last": history[-1],
        "whitened": found,
        "epochs": len(history),
        "images": len(history) * 2 * settings["identities"] * settings["pairs"],
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        "environment": describe_environment(settings),
    }
    write_whole(out / net / RESULT, json.dumps(result, indent=1) + "\n")
    plot_history(history, out / net / "history.png")


def _of(net: str, row: dict[str, float]) -> dict[str, float]:
    """What an epoch's row says of one net, and of all."""
    own = {k.removeprefix(f"{net}_"): v for k, v in row.items() if k.startswith(f"{net}_")}
    return {k: v for k, v in row.items() if not k.startswith(NETS)} | own
