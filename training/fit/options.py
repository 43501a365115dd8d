"""Options that all trainings share. This module imports no Keras, so that --help is fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

NetName = Literal["alexnet", "vgg16", "vgg19"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every training run.

    Attributes:
        out: folder of the run, created if missing. The same command resumes the run in it.
        epochs: passes over the training images, at least 1.
        batch_size: images in a training step.
        precision: number format of the computation. auto: mixed_bfloat16 if it is faster on this
            machine, else float32.
        seed: seed of the weights, of the images' order and of the augmentation, at least 0.
        guard: what to do if a net dies: stop the training, warn, or off. Without a guard, a GPU
            compiles each net once instead of twice.
    """

    out: Path
    epochs: int = 20
    batch_size: int = 64
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    seed: int = 1
    guard: Literal["stop", "warn", "off"] = "stop"


def require_at_least(options: Mapping[str, Any], **least: float) -> None:
    """Checks that options are not below their least values.

    Raises:
        ValueError: if one is; the message names the option, its least value and its value.
    """
    for name, minimum in least.items():
        if options[name] < minimum:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least {minimum}, not {options[name]}")
