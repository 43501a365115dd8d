"""Compares many vein maps with many: the similarities from which rates are counted."""

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import Floats, VeinMaps
from app.matching.similarity import SHIFT, compare_each
from app.matching.templates import TrainedTemplates

TEMPLATES_AT_ONCE = 4096
"""Templates between two steps of the progress bar."""


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
    found = np.empty((len(probes), len(templates)), np.float32)
    with tqdm(total=len(templates), desc=f"{name}: comparing", unit="template", delay=1) as bar:
        for start in range(0, len(templates), TEMPLATES_AT_ONCE):
            some = slice(start, start + TEMPLATES_AT_ONCE)
            found[:, some] = compare_each(probes, templates[some], mean, shift)
            bar.update(len(templates[some]))
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


def compare_trained(probes: VeinMaps, trained: TrainedTemplates, name: str) -> Floats:
    """Returns the similarity of every probe image to every trained identity, float32 [P, N].

    No mean map is subtracted: trained identities are no site's subjects and form none.
    """
    found = compare_maps(probes, trained.maps, None, name)
    return best_of_subject(found, trained.owners, len(trained.counts))
