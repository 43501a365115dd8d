"""The rows of a benchmark: each net, the nets fused, and the classical matcher beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.palm.translation import MOVES, best_similarities
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

    def compare(self, palms: Palms, lots: Lots, *, search: bool) -> Iterator[Matcher]:
        """Each net, then all fused; a few matrices of similarities at a time, not one for each net.

        Args:
            palms: all pictures.
            lots: which of them are compared.
            search: move them, as the service does; calibrations are of such similarities only.
        """
        weights, calibration = self._fusion or ([1.0] * len(self._artefacts), None)
        fused = np.zeros((len(lots.own), len(lots.owners)), np.float32)
        for weight, artefact in zip(weights, self._artefacts, strict=True):
            embeddings = artefact.embeddings(palms, len(MOVES) if search else 1)
            labels = palms.labels[lots.templates]
            templates = enrol(embeddings[lots.templates], labels, len(palms.identities))
            similarities = best_similarities(embeddings[~lots.templates], templates)
            fused += np.float32(weight) * similarities
            name = artefact.key.partition("/")[0]
            found = Comparisons(similarities, lots)
            yield Matcher(name, artefact.key, found, artefact.calibration if search else None)
        if calibration:
            made_of = " + ".join(
                f"{weight:.2f} {one.key}"
                for weight, one in zip(weights, self._artefacts, strict=True)
            )
            found = Comparisons(fused, lots)
            yield Matcher("fused", made_of, found, calibration if search else None)


def compare_classically(palms: Palms, lots: Lots) -> Matcher:
    """The classical matcher: the best of an identity's template pictures."""
    filtered = filter_pictures(palms)
    labels = palms.labels[lots.templates]
    found = compare(
        filtered[~lots.templates], filtered[lots.templates], labels, len(palms.identities)
    )
    made_of = "band-pass correlation, untrained"
    return Matcher("classical", made_of, Comparisons(found, lots), None)
