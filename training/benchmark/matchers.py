"""The matchers of a benchmark: maps and embeddings of nets, the fused maps, the classical one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.matching.calibration import FPIR_TARGET, Calibration, Limits
from app.matching.fusion import Fusion
from app.matching.impostors import Impostors
from training.benchmark.classical import correlate, filter_images
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.map_options import MapOptions
from training.benchmark.map_similarities import (
    MapSimilarities,
    MeanSplit,
    compare_embeddings,
    compare_net_maps,
    fuse_maps,
)
from training.database.palms import Palms
from training.versions.read import Version

STATED_WITHIN = 1e-6
"""Relative rounding error of an interpolated FMR."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Strangers outside the mean map, compared with each other.

    Attributes:
        enrolled: number of identities in the mean map; 0 for no mean map.
        comparisons: the strangers' similarities.
        impostors: the impostors of the mean map's identities; None without a mean map.
    """

    enrolled: int
    comparisons: Comparisons
    impostors: Impostors | None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher and its similarities.

    Attributes:
        name: such as "vgg16/12 map", "vgg16/12 embedding", "fused" or "classical".
        made_of: a description; of the fused maps, their weights.
        comparisons: the matcher's similarities, of maps as the service computes them.
        calibration: calibration of these similarities; None if they are not calibrated.
        compares_maps: whether it compares maps.
        impostors: the impostors of all identities, if their mean map was subtracted.
        without_mean: the similarities without the mean map; None if none was subtracted.
        outside: for each number of identities in the mean map, strangers outside it.
    """

    name: str
    made_of: str
    comparisons: Comparisons
    calibration: Calibration | None = None
    compares_maps: bool = False
    impostors: Impostors | None = None
    without_mean: Comparisons | None = None
    outside: tuple[Outside, ...] = ()

    def limits(
        self, fmr: float, comparisons: Comparisons, impostors: Impostors | None
    ) -> Limits | None:
        """Returns the thresholds that the calibration states; None if it states none for this FMR.

        Args:
            fmr: the false match rate.
            comparisons: their identities' numbers of templates decide.
            impostors: the impostors of the mean map's identities, if one was subtracted.
        """
        if self.calibration is None:
            return None
        counts = comparisons.trials.template_counts
        found = self.calibration.at(fmr, counts, probes=1, impostors=impostors)
        return found if found.fmr <= fmr * (1 + STATED_WITHIN) else None

    def evidence(self) -> Comparisons:
        """Returns what the service ranks identities by.

        That is (similarity - threshold) / temperature. If all identities have equally many
        templates, similarities rank them the same and are returned.
        """
        found, counts = self.comparisons, self.comparisons.trials.template_counts
        if self.calibration is None or np.ptp(counts) == 0:
            return found
        fmr = FPIR_TARGET / len(counts)
        limits = self.calibration.at(fmr, counts, probes=1, impostors=self.impostors)
        evidence = np.empty_like(found.similarities)
        for rows in found.blocks():
            above = found.similarities[rows] - limits.scores
            evidence[rows] = above / limits.temperatures
        return Comparisons(evidence, found.trials)


def compare_nets(
    nets: Sequence[Version],
    fusion: Fusion | None,
    palms: Palms,
    trials: Trials,
    splits: Sequence[MeanSplit],
    *,
    options: MapOptions,
) -> Iterator[Matcher]:
    """Yields the matchers of each net's maps and embeddings, and then the fused maps.

    Args:
        nets: the nets.
        fusion: fusion of these nets, in their order; None for no fused matcher.
        palms: all images.
        trials: the templates and probes among them.
        splits: the identities in and outside the mean map, from `split_identities`.
        options: how maps are compared; the nets are calibrated only for the service's way.

    Raises:
        ValueError: if an option does not fit a map.
    """
    found: list[MapSimilarities] = []
    for net in nets:
        maps, embeddings = net.run(palms)
        options.require_valid(maps.shape.side, str(net.key))
        maps = options.apply_and_scale(maps, net.trained)
        side, channels = maps.shape
        found.append(compare_net_maps(maps, trials, splits, str(net.key), shift=options.shift))
        del maps
        calibration = net.calibration if options.are_calibrated else None
        made_of = f"signs of a map of {side} x {side} x {channels}"
        yield _match_maps(f"{net.key} map", made_of, found[-1], trials, splits, calibration)
        cosines = compare_embeddings(embeddings, trials)
        yield Matcher(f"{net.key} embedding", "cosine of embeddings", Comparisons(cosines, trials))
    if fusion:
        parts = zip(fusion.weights, nets, strict=True)
        made_of = " + ".join(f"{weight:.2f} {net.key} map" for weight, net in parts)
        calibration = fusion.calibration if options.are_calibrated else None
        fused = fuse_maps(fusion, found)
        yield _match_maps("fused", made_of, fused, trials, splits, calibration)


def compare_classically(palms: Palms, trials: Trials) -> Matcher:
    """Returns the classical matcher, which uses the best template image of each identity."""
    filtered = filter_images(palms)
    templates, probes = filtered[trials.templates], filtered[trials.probes]
    found = correlate(probes, templates, trials.enrolled, len(trials.owners))
    return Matcher("classical", "band-pass correlation, untrained", Comparisons(found, trials))


def _match_maps(
    name: str,
    made_of: str,
    found: MapSimilarities,
    trials: Trials,
    splits: Sequence[MeanSplit],
    calibration: Calibration | None,
) -> Matcher:
    impostors = found.as_service.impostors
    outside = tuple(
        Outside(
            len(split.enrolled),
            Comparisons(one.similarities, trials.among(split.strangers)[2]),
            one.impostors,
        )
        for split, one in zip(splits, found.outside, strict=True)
    )
    return Matcher(
        name,
        made_of,
        Comparisons(found.as_service.similarities, trials),
        calibration,
        compares_maps=True,
        impostors=impostors,
        without_mean=Comparisons(found.without_mean, trials) if impostors else None,
        outside=outside,
    )
