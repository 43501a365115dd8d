"""Toy trials, similarities and calibrations of a benchmark."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from app.matching.calibration import Calibration, Case, Threshold
from training.benchmark.comparisons import Trials


def make_trials(own: ArrayLike, owners: ArrayLike, templates: ArrayLike = 1) -> Trials:
    """Trials of probes with these identities, and of identities with these subjects.

    Args:
        own: integers [P], each probe's identity.
        owners: integers [I], each identity's subject.
        templates: integers [I] or one for all, number of templates of each identity.
    """
    mine, subjects = np.asarray(own, np.int32), np.asarray(owners, np.int32)
    counts = np.broadcast_to(np.asarray(templates), subjects.shape)
    enrolled = np.repeat(np.arange(len(subjects)), counts).astype(np.int32)
    images = np.arange(len(enrolled) + len(mine))
    return Trials(
        images[: len(enrolled)],
        images[len(enrolled) :],
        enrolled,
        mine,
        subjects[mine],
        subjects,
    )


def make_case(*thresholds: tuple[float, float], temperature: float = 0.05, **fields: Any) -> Case:
    """A case with thresholds (similarity, FMR), by default of one template without mean map."""
    found = tuple(Threshold(similarity, fmr, 10**6) for similarity, fmr in thresholds)
    kind = {"mean_map": False, "templates": 1, "probes": 1} | fields
    return Case(temperature=temperature, thresholds=found, **kind)


def make_calibration(*thresholds: tuple[float, float], temperature: float = 0.05) -> Calibration:
    """A calibration of the one case of `make_case`."""
    return Calibration((make_case(*thresholds, temperature=temperature),))
