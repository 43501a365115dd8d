"""Resolves a run's settings at its start, writes config.json, and compares them on resuming."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.fit.checkpoint import epochs_done
from training.fit.devices import choose_precision
from training.report.files import write_text

CONFIG = "config.json"

FREE_TO_CHANGE = (
    "allow_leaks", "data", "finder", "guard", "out", "processes", "scratch", "start", "tensorboard",
)  # fmt: skip
"""Settings that may differ when a run is resumed, because they do not change its result. The
database may have moved; its digest is compared."""


def resolve_settings(chosen: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Returns the settings for config.json, with a `precision` of auto resolved.

    Args:
        chosen: settings by name; values that JSON cannot hold become text.
        out: folder of the run.

    Raises:
        ValueError: if `out` holds epochs of a run with other settings or data; the message names
            them.
    """
    settings: dict[str, Any] = json.loads(json.dumps(dict(chosen), default=str))
    if not epochs_done(out):
        return {**settings, "precision": choose_precision(settings["precision"])}
    before = json.loads((out / CONFIG).read_text())
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
            "give the same settings to resume it, or choose another --out"
        )
    return settings


def write_settings(settings: Mapping[str, Any], out: Path) -> None:
    """Writes config.json into a run's folder, which is created if missing."""
    write_text(out / CONFIG, json.dumps(settings, indent=2) + "\n")
