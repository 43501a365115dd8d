"""The evaluation protocol: which images of a database are templates and which are probes."""

import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms


def is_template(palms: Palms) -> NDArray[np.bool_]:
    """Returns which images are templates; all others are probes.

    Templates are the images of each identity's first session. If no identity has a second session,
    they are the first half of each identity's shots. Every probe has a template of its identity.

    Returns:
        bool [N].
    """
    first = np.full(len(palms.identities), palms.sessions.max())
    np.minimum.at(first, palms.labels, palms.sessions)
    chosen = palms.sessions == first[palms.labels]
    if not chosen.all():
        return chosen
    for label in np.unique(palms.labels):
        own = palms.labels == label
        # By shot: images of one shot in two bands, or of both hands, must have one role.
        shots = np.unique(palms.shots[own])
        chosen[own] = np.isin(palms.shots[own], shots[: max(len(shots) // 2, 1)])
    return chosen


def require_pairs(
    palms: Palms, advice: str = " in a split by identity: add images, or choose another --split"
) -> None:
    """Checks that there are genuine and impostor pairs; reads no pixels.

    Args:
        palms: the images to compare.
        advice: end of the error message that says what to do.

    Raises:
        ValueError: if there is only one identity, or none with a template and a probe.
    """
    count = len(np.unique(palms.labels))
    if count > 1 and not is_template(palms).all():
        return
    lack = f"none of {count} identities has a second image" if count > 1 else "only one identity"
    raise ValueError(f"{lack}, such as {palms.files[0]}, so there is nothing to compare{advice}")
