"""Compares many vein maps with many: the similarities from which rates are counted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import Floats, Signs, VeinMaps
from app.matching.similarity import SHIFT, probe_codes, similarities, template_codes


def compare_maps(
    probes: VeinMaps, templates: VeinMaps, mean: Floats | None, name: str, *, shift: int = SHIFT
) -> Floats:
    """Returns the similarity of every probe image to every template image, as the service.

    Args:
        probes: P maps.
        templates: T maps of the same net.
        mean: float32 [S, S, C], the mean map to subtract from both; None for none.
        name: name of the net, for the progress bar, which is shown after a second.
        shift: largest shift in places; others than `SHIFT` only for measurements.

    Returns:
        float32 [P, T].
    """
    side, channels = probes.shape
    shape = ((side - 2 * shift) ** 2, channels)
    codes = template_codes(Signs.of(templates, mean), shift)
    found = np.empty((len(probes), len(templates)), np.float32)
    for row in tqdm(range(len(probes)), f"{name}: comparing", unit="probe", delay=1):
        one = probe_codes(Signs.of(probes[row : row + 1], mean), shift)
        found[row] = similarities(one, codes, shape)
    return found


def best_of_subject(similarities: Floats, owners: NDArray[np.integer], subjects: int) -> Floats:
    """Returns the similarity of every probe image to every subject: that of its best template.

    Args:
        similarities: float32 [P, T].
        owners: integers [T], each template's subject.
        subjects: number of subjects N; each has a template.

    Returns:
        float32 [P, N].
    """
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(subjects))
    return np.maximum.reduceat(similarities[:, order], starts, axis=1)


def mean_of_probes(similarities: Floats, groups: Sequence[NDArray[np.integer]]) -> Floats:
    """Returns the mean similarity [G, N] of each group of rows of [P, N]: several probe images."""
    return np.stack([similarities[rows].mean(axis=0) for rows in groups])
