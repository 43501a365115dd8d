"""Reads the parts of a run's folder that an interrupted and an uninterrupted run share."""

from pathlib import Path

import h5py
import numpy as np

from training.fit.checkpoint import read_history


def read_state(run: Path) -> list[np.ndarray]:
    """Returns all numbers of a run's last state, the optimizer's included."""
    found: list[np.ndarray] = []
    with h5py.File(next(run.glob("state-*.weights.h5"))) as file:
        file.visititems(lambda _, item: found.append(item[()]) if hasattr(item, "shape") else None)
    return found


def rows_without_times(run: Path) -> list[dict[str, float]]:
    """Returns the rows of a run's history, except their seconds."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(run)]
