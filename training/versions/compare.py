"""Compares many vein maps with many: the scores from which rates are counted."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import Floats, VeinMaps
from app.matching.scores import compare_one
from app.matching.similarity import SHIFT, encode
from app.matching.templates import TrainedTemplates


def compare_maps(
    probes: VeinMaps, templates: VeinMaps, mean: Floats | None, name: str, *, shift: int = SHIFT
) -> Floats:
    """Returns the score of every probe image with every template image, as the service.

    Args:
        probes: P maps.
        templates: T maps of the same net.
        mean: float32 [S, S, C], the mean map to subtract from both; None for none.
        name: name of the net, for the progress bar, which is shown after a second.
        shift: largest shift in places; others than `SHIFT` only for measurements.

    Returns:
        float32 [P, T].
    """
    codes, shape = encode(templates, mean), templates.shape

    def compare(row: int) -> Floats:
        return compare_one(probes[row : row + 1], codes, templates.scales, mean, shape, shift)

    found = np.empty((len(probes), len(templates)), np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(compare, range(len(probes)))
        bar = tqdm(rows, f"{name}: comparing", len(probes), unit="probe", delay=1)
        for row, similar in enumerate(bar):
            found[row] = similar
    return found


def best_of_subject(scores: Floats, owners: NDArray[np.integer], subjects: int) -> Floats:
    """Returns the score of every probe image with every subject: that of its best template.

    Args:
        scores: float32 [P, T].
        owners: integers [T], each template's subject.
        subjects: number of subjects N; each has a template.

    Returns:
        float32 [P, N].
    """
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(subjects))
    return np.maximum.reduceat(scores[:, order], starts, axis=1)


def compare_trained(probes: VeinMaps, trained: TrainedTemplates, name: str) -> Floats:
    """Returns the score of every probe image with every trained identity, float32 [P, N].

    No mean map is subtracted: trained identities are no site's subjects and form none.
    """
    found = compare_maps(probes, trained.maps, None, name)
    return best_of_subject(found, trained.owners, len(trained.counts))
