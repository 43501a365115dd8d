"""What a training is told, what of it makes no sense, and whether a run may go on with it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from training.database.palms import DataOptions
from training.fit.checkpoint import epochs_done
from training.fit.devices import choose_precision, device_count, distribute, require_divisible
from training.nets.build import NETS
from training.nets.imagenet import require_weights
from training.nets.recipe import Recipe

FREE_TO_CHANGE = (
    "allow_leaks", "data", "guard", "out", "processes", "scratch", "start", "tensorboard",
)  # fmt: skip
"""Settings with which a stopped run may go on though they differ: they do not change the result.
Another place is no other data: those are compared by their digest."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions, Recipe):
    """What `python -m training train` does; docs/training.md says how long it takes.

    The same command again goes on with a run that was stopped.

    Attributes:
        net: one of `training.nets.build.NETS`.
        out: folder of the run: best.weights.h5, history.csv, config.json, result.json, report.html.
        epochs: passes over the training images.
        batch_size: images per step, over all devices.
        precision: float32, mixed_bfloat16, or auto: bfloat16 where the machine gains by it.
        devices: one, or all; on JAX those of every process that joined, too.
        seed: of weights, order and augmentation.
        guard: stop a net that is dead or does not see what it should, or warn only.
        allow_leaks: train though copies of one photograph are on both sides of the split.
        weights_file: ImageNet weights to use instead of downloading Keras's.
        tensorboard: write logs for TensorBoard into the run's folder.
    """

    net: str
    out: Path
    epochs: int = 16
    batch_size: int = 32
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    devices: Literal["one", "all"] = "one"
    seed: int = 1
    guard: Literal["stop", "warn"] = "stop"
    allow_leaks: bool = False
    weights_file: Path | None = None
    tensorboard: bool = False


def require_sensible(config: TrainConfig) -> None:
    """Refuses what would fail or mislead only after hours of decoding or training.

    Raises:
        ValueError: with what to choose instead.
    """
    if config.net not in NETS:
        raise ValueError(f"unknown net {config.net!r}: choose one of {', '.join(NETS)}")
    require_at_least(config, batch_size=1, epochs=1, size_px=1)
    with distribute(config.devices):
        require_divisible(config.batch_size, device_count())
    if config.split == "identity" and config.head == "paper":
        raise ValueError("the paper's head knows no strangers: --split identity needs an embedding")
    if config.split == "identity" and config.schedule == "plateau":
        raise ValueError("--schedule plateau needs a validation loss: --split identity has none")
    if config.weights == "imagenet":
        require_weights(config.net, config.weights_file)


def require_at_least(config: Any, **leasts: int) -> None:
    """Refuses options under their least value.

    Raises:
        ValueError: naming the first such option, its least value and what it is.
    """
    for name, least in leasts.items():
        if (value := getattr(config, name)) < least:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least {least}, not {value}")


def resolve_settings(config: TrainConfig, dataset_sha256: str) -> dict[str, Any]:
    """The configuration as config.json holds it, `auto` resolved.

    Raises:
        ValueError: if `out` holds epochs of a run with other settings or data; they are named.
    """
    return resumable_settings({**asdict(config), "dataset_sha256": dataset_sha256}, config.out)


def resumable_settings(chosen: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a run is to be made with as JSON holds it, `auto` resolved; as `resolve_settings` raises."""
    settings: dict[str, Any] = json.loads(json.dumps(chosen, default=str))
    if not epochs_done(out):
        return {**settings, "precision": choose_precision(settings["precision"])}
    before = json.loads((out / "config.json").read_text())
    if settings["precision"] == "auto":
        settings["precision"] = before["precision"]
    other = [
        f"{name} {before.get(name)!r}, not {value!r}"
        for name, value in settings.items()
        if name not in FREE_TO_CHANGE and before.get(name) != value
    ]
    if other:
        raise ValueError(
            f"{out} holds a run with other settings ({'; '.join(other)}): "
            "give the same to go on with it, or choose another --out"
        )
    return settings
