"""The rows of a benchmark: each net, the nets fused, and the classical matcher beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.matching.similarity import similarities
from app.palm.views import probe_views, template_views
from training.benchmark.classical import compare, filter_images
from training.benchmark.comparisons import Comparisons, Trials
from training.database.palms import Palms
from training.metrics.calibration import Calibration
from training.metrics.open_set import mean_templates
from training.versions.fuse import read_fusion
from training.versions.read import Artefact

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

    def compare(self, palms: Palms, trials: Trials, *, views: bool) -> Iterator[Matcher]:
        """Each net, then all fused; a few matrices of similarities at a time, not one for each net.

        Args:
            palms: all images.
            trials: which of them are compared.
            views: show them mirrored and templates moved, as the service does; calibrations are of
                such similarities only.
        """
        weights, calibration = self._fusion or ([1.0] * len(self._artefacts), None)
        fused = np.zeros((len(trials.own), len(trials.owners)), np.float32)
        for weight, artefact in zip(weights, self._artefacts, strict=True):
            found = _served(artefact, palms, trials) if views else _plain(artefact, palms, trials)
            fused += np.float32(weight) * found
            name = artefact.key.partition("/")[0]
            calibrated = artefact.calibration if views else None
            yield Matcher(name, artefact.key, Comparisons(found, trials), calibrated)
        if calibration:
            made_of = " + ".join(
                f"{weight:.2f} {one.key}"
                for weight, one in zip(weights, self._artefacts, strict=True)
            )
            calibrated = calibration if views else None
            yield Matcher("fused", made_of, Comparisons(fused, trials), calibrated)


def _served(artefact: Artefact, palms: Palms, trials: Trials) -> Float32:
    """A net's similarities [P, I] as the service has them."""
    images, probes = palms.select(trials.templates), palms.select(~trials.templates)
    shown = artefact.embeddings(images, template_views)
    templates = mean_templates(shown, images.labels, len(palms.identities))
    return similarities(artefact.embeddings(probes, probe_views), templates)


def _plain(artefact: Artefact, palms: Palms, trials: Trials) -> Float32:
    """A net's similarities [P, I] of images as they lie alone."""
    embeddings = artefact.embeddings(palms, lambda images: images)
    labels = palms.labels[trials.templates]
    templates = mean_templates(embeddings[trials.templates], labels, len(palms.identities))
    return embeddings[~trials.templates] @ templates.T


def compare_classically(palms: Palms, trials: Trials) -> Matcher:
    """The classical matcher: the best of an identity's template images."""
    filtered = filter_images(palms)
    labels = palms.labels[trials.templates]
    found = compare(
        filtered[~trials.templates], filtered[trials.templates], labels, len(palms.identities)
    )
    made_of = "band-pass correlation, untrained"
    return Matcher("classical", made_of, Comparisons(found, trials), None)
