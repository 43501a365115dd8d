"""The rows of a benchmark: each net, the nets fused, and the classical matcher beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.artefact import Artefact
from training.benchmark.classical import compare, filter_pictures
from training.benchmark.comparisons import Comparisons, Lots
from training.calibration import Calibration
from training.data import Palms
from training.fusion import read_fusion
from training.openset import enrol

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Matcher:
    """What one matcher says of all probes.

    Attributes:
        name: net, "fused" or "classical".
        made_of: versions, such as "vgg16/2"; for the classical one what it is.
        comparisons: its similarities.
        calibration: what they mean; None of one that nothing calibrates.
    """

    name: str
    made_of: str
    comparisons: Comparisons
    calibration: Calibration | None


class Nets:
    """Exported nets and what fuses them."""

    def __init__(self, artefacts: Sequence[Artefact], store: Path) -> None:
        """Reads fusion.json, before anything is computed.

        Raises:
            FileNotFoundError: if there are two or more nets and fusion.json does not have them.
            ValueError: if it is not as `fuse` wrote it.
        """
        self._artefacts = artefacts
        keys = [one.key for one in artefacts]
        self._fusion = read_fusion(store, keys) if len(keys) > 1 else None

    def compare(self, palms: Palms, lots: Lots) -> Iterator[Matcher]:
        """Each net, then all fused; one matrix of similarities at a time."""
        probes: list[Float32] = []
        templates: list[Float32] = []
        for artefact in self._artefacts:
            embeddings = artefact.embeddings(palms)
            probes.append(embeddings[~lots.templates])
            labels = palms.labels[lots.templates]
            templates.append(enrol(embeddings[lots.templates], labels, len(palms.identities)))
            found = Comparisons(probes[-1] @ templates[-1].T, lots)
            name = artefact.key.partition("/")[0]
            yield Matcher(name, artefact.key, found, artefact.calibration)
        if self._fusion:
            weights, calibration = self._fusion
            found = Comparisons(fuse_templates(weights, probes, templates), lots)
            made_of = " + ".join(
                f"{weight:.2f} {one.key}"
                for weight, one in zip(weights, self._artefacts, strict=True)
            )
            yield Matcher("fused", made_of, found, calibration)


def fuse_templates(
    weights: Sequence[float], probes: Sequence[Float32], templates: Sequence[Float32]
) -> Float32:
    """The weighted sum of the nets' similarities, [P, I].

    A weighted sum of inner products is one inner product of the vectors laid end to end: no net's
    matrix of similarities is needed for it.
    """
    weighted = [np.float32(w) * rows for w, rows in zip(weights, probes, strict=True)]
    return np.hstack(weighted) @ np.hstack(templates).T


def compare_classically(palms: Palms, lots: Lots) -> Matcher:
    """The classical matcher: the best of an identity's template pictures."""
    filtered = filter_pictures(palms)
    labels = palms.labels[lots.templates]
    found = compare(
        filtered[~lots.templates], filtered[lots.templates], labels, len(palms.identities)
    )
    made_of = "band-pass correlation, untrained"
    return Matcher("classical", made_of, Comparisons(found, lots), None)
