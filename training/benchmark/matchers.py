"""The rows of a benchmark: each net, the nets fused, and the classical matcher beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.matching.similarity import similarities
from app.palm.views import probe_views, template_views
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

    def compare(self, palms: Palms, lots: Lots, *, views: bool) -> Iterator[Matcher]:
        """Each net, then all fused; a few matrices of similarities at a time, not one for each net.

        Args:
            palms: all pictures.
            lots: which of them are compared.
            views: show them mirrored and templates moved, as the service does; calibrations are of
                such similarities only.
        """
        weights, calibration = self._fusion or ([1.0] * len(self._artefacts), None)
        fused = np.zeros((len(lots.own), len(lots.owners)), np.float32)
        for weight, artefact in zip(weights, self._artefacts, strict=True):
            found = _served(artefact, palms, lots) if views else _plain(artefact, palms, lots)
            fused += np.float32(weight) * found
            name = artefact.key.partition("/")[0]
            calibrated = artefact.calibration if views else None
            yield Matcher(name, artefact.key, Comparisons(found, lots), calibrated)
        if calibration:
            made_of = " + ".join(
                f"{weight:.2f} {one.key}"
                for weight, one in zip(weights, self._artefacts, strict=True)
            )
            calibrated = calibration if views else None
            yield Matcher("fused", made_of, Comparisons(fused, lots), calibrated)


def _served(artefact: Artefact, palms: Palms, lots: Lots) -> Float32:
    """A net's similarities [P, I] as the service has them."""
    pictures, probes = palms.select(lots.templates), palms.select(~lots.templates)
    shown = artefact.embeddings(pictures, template_views)
    templates = enrol(shown, pictures.labels, len(palms.identities))
    return similarities(artefact.embeddings(probes, probe_views), templates)


def _plain(artefact: Artefact, palms: Palms, lots: Lots) -> Float32:
    """A net's similarities [P, I] of pictures as they lie alone."""
    embeddings = artefact.embeddings(palms, lambda images: images)
    labels = palms.labels[lots.templates]
    templates = enrol(embeddings[lots.templates], labels, len(palms.identities))
    return embeddings[~lots.templates] @ templates.T


def compare_classically(palms: Palms, lots: Lots) -> Matcher:
    """The classical matcher: the best of an identity's template pictures."""
    filtered = filter_pictures(palms)
    labels = palms.labels[lots.templates]
    found = compare(
        filtered[~lots.templates], filtered[lots.templates], labels, len(palms.identities)
    )
    made_of = "band-pass correlation, untrained"
    return Matcher("classical", made_of, Comparisons(found, lots), None)
