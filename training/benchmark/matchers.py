"""The matchers of a benchmark: each net, the fused nets, and the untrained classical matcher."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from app.palm.views import probe_views, template_views
from numpy.typing import NDArray

from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.templates import mean_templates
from training.benchmark.classical import correlate, filter_images
from training.benchmark.comparisons import Comparisons, Trials
from training.database.palms import Palms
from training.versions.read import Version, compare

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher and its similarities.

    Attributes:
        name: name of the net, "fused" or "classical".
        made_of: the version, or versions with their weights, such as "0.50 vgg16/8 + 0.50 vgg19/8";
            for the classical matcher, a description.
        comparisons: the matcher's similarities.
        calibration: calibration of these similarities; None if they are not calibrated.
    """

    name: str
    made_of: str
    comparisons: Comparisons
    calibration: Calibration | None


def compare_nets(
    nets: Sequence[Version], fusion: Fusion | None, palms: Palms, trials: Trials, *, views: bool
) -> Iterator[Matcher]:
    """Yields the matcher of each net, and then the fused matcher.

    Args:
        nets: the nets.
        fusion: fusion of these nets, in their order; None for no fused matcher.
        palms: all images.
        trials: the templates and probes among them.
        views: embed images in the views of `app.palm.views`, as the service does. Otherwise each
            image is embedded once, and the matchers are not calibrated.
    """
    found: list[Float32] = []
    for net in nets:
        compare_images = _compare_views if views else _compare_single_images
        found.append(compare_images(net, palms, trials))
        calibration = net.calibration if views else None
        yield Matcher(net.key.net, str(net.key), Comparisons(found[-1], trials), calibration)
    if fusion:
        parts = zip(fusion.weights, nets, strict=True)
        made_of = " + ".join(f"{weight:.2f} {net.key}" for weight, net in parts)
        calibration = fusion.calibration if views else None
        yield Matcher("fused", made_of, _fuse(fusion, found, trials), calibration)


def compare_classically(palms: Palms, trials: Trials) -> Matcher:
    """Returns the classical matcher, which uses the best template image of each identity."""
    filtered = filter_images(palms)
    labels = palms.labels[trials.templates]
    found = correlate(
        filtered[~trials.templates], filtered[trials.templates], labels, len(palms.identities)
    )
    return Matcher(
        "classical", "band-pass correlation, untrained", Comparisons(found, trials), None
    )


def _compare_views(net: Version, palms: Palms, trials: Trials) -> Float32:
    """Returns a net's similarities [P, I] as the service computes them."""
    enrolled, probes = palms.select(trials.templates), palms.select(~trials.templates)
    embeddings = net.embeddings(enrolled, template_views)
    templates = mean_templates(embeddings, enrolled.labels, len(palms.identities))
    return compare(net.embeddings(probes, probe_views), templates, str(net.key))


def _compare_single_images(net: Version, palms: Palms, trials: Trials) -> Float32:
    """Returns a net's similarities [P, I] of unchanged images."""
    embeddings = net.embeddings(palms, lambda images: images)
    labels = palms.labels[trials.templates]
    templates = mean_templates(embeddings[trials.templates], labels, len(palms.identities))
    return embeddings[~trials.templates] @ templates.T


def _fuse(fusion: Fusion, similarities: Sequence[Float32], trials: Trials) -> Comparisons:
    """Combines the nets' similarities in blocks, because float64 sums of all may not fit memory."""
    fused = Comparisons(np.empty_like(similarities[0]), trials)
    for rows in fused.blocks():
        fused.similarities[rows] = fusion.combine([one[rows] for one in similarities])
    return fused
