"""Reads the settings of a finder's run."""

import json
from pathlib import Path
from typing import Any


def read_run(run: Path, option: str) -> dict[str, Any]:
    """Returns the settings of a run of `train-finder` that has weights.

    Args:
        run: folder of the run.
        option: the option that names it, for the message.

    Raises:
        ValueError: if it is no such run.
    """
    from training.fit.checkpoint import BEST
    from training.fit.settings import CONFIG

    path = run / CONFIG
    settings = json.loads(path.read_text()) if path.exists() else {}
    if settings.get("command") != "train-finder" or not (run / BEST).exists():
        raise ValueError(f"{option} {run} is no run of train-finder with an epoch: give its --out")
    return settings
