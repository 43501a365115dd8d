"""Options that all trainings share. Imports no Keras, so that --help answers at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

NetName = Literal["alexnet", "vgg16", "vgg19"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a training runs.

    Attributes:
        out: folder of the run. It holds history.csv, config.json, the weights and, at the end,
            result.json.
        epochs: passes over the training images, at least 1.
        batch_size: images in a step, over all devices.
        precision: float32, mixed_bfloat16, or auto: bfloat16 if this machine computes faster in it.
        seed: of weights, order and augmentation. Equal seeds give equal runs.
        guard: what to do about a net that is dead: stop, warn, or off. Off spares a GPU compiling
            each net a second time.
    """

    out: Path
    epochs: int = 20
    batch_size: int = 64
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    seed: int = 1
    guard: Literal["stop", "warn", "off"] = "stop"


def require_at_least(options: Mapping[str, Any], **least: int) -> None:
    """Refuses options below their least value.

    Raises:
        ValueError: naming the first such option, its least value and its value.
    """
    for name, minimum in least.items():
        if options[name] < minimum:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least {minimum}, not {options[name]}")
