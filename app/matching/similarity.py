"""The similarity of probes to templates."""

import numpy as np

from app.matching.templates import Floats


def similarities(probes: Floats, templates: Floats) -> Floats:
    """Returns the similarity of every probe to every template.

    It is the mean, over upright and mirrored, of the best cosine to any of the template's M
    positions. `app.palm.views` makes the images of both.

    Args:
        probes: float32 [P, 2, D], embeddings of `probe_views`, of unit length.
        templates: float32 [T, 2, M, D], embeddings of `template_views`, of unit length.

    Returns:
        float32 [P, T] in [-1, 1]; higher is more alike.
    """
    found = np.empty((len(probes), len(templates)), np.float32)
    for probe, row in zip(probes, found, strict=True):
        # matmul, with the views as columns, is five times slower on a large gallery.
        cosines = np.einsum("tvmd,vd->tvm", templates, probe)
        row[:] = cosines.max(axis=-1).mean(axis=-1)
    return found
