"""The gate of a precision: are its decisions those of TensorFlow in float32?

Decisions are the service's: a probe is compared with a gallery, and the scores are judged at the
thresholds of the nets' calibration. The gallery's templates are TensorFlow's in every precision, as
if subjects were enrolled in one precision and identified in another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import FPIR_TARGET
from app.matching.decision import Answers, decide
from app.matching.fusion import Fusion
from app.matching.maps import Floats, VeinMaps, join_maps
from app.matching.templates import TrainedTemplates
from app.nets.precision_manifest import Measured, Precision, Trial
from training.database.palms import Palms
from training.fit.batches import as_colour
from training.versions.compare import compare_trained
from training.versions.fuse import read_fusion
from training.versions.read import Version
from training.versions.strangers import Strangers

BATCH = 16

NOBODY = -1

Run = Callable[[NDArray[np.uint8]], Sequence[tuple[Floats, Floats]]]
"""Nets that map uint8 [B, H, W, 3] to each net's maps and masks."""


@dataclass(frozen=True)
class Part:
    """A part of the test data.

    Attributes:
        name: what is compared with what.
        probes: the probes.
        owners: int [P], each probe's subject in the gallery; `NOBODY` for strangers.
        galleries: for each net the gallery's templates, computed by TensorFlow.
    """

    name: str
    probes: Sequence[Palms]
    owners: NDArray[np.integer]
    galleries: Sequence[TrainedTemplates]


def trained_part(nets: Sequence[Version], test: Palms, strangers: Sequence[Palms]) -> Part:
    """Returns the test images and strangers, to compare with the trained identities."""
    nobody = np.full(sum(map(len, strangers)), NOBODY)
    return Part(
        f"{len(test):,} test images and {len(nobody):,} of strangers against "
        f"{len(test.identities)} trained identities",
        (test, *strangers),
        np.concatenate([test.labels, nobody]),
        [net.trained for net in nets],
    )


def enrolled_part(nets: Sequence[Version], palms: Strangers) -> Part:
    """Returns palms of a style that no training saw: two later images against the first session."""
    templates = palms.templates
    return Part(
        f"{palms.folder.name}: {len(palms.probes):,} images against {len(palms):,} enrolled palms",
        (palms.probes,),
        palms.probes.labels,
        [TrainedTemplates(templates.labels, net.maps(templates)) for net in nets],
    )


@dataclass(frozen=True)
class _Found:
    """What nets found in a part: for each net the probes' maps, and their scores [P, N]."""

    maps: list[VeinMaps]
    scores: list[Floats]


class Gate:
    """Compares precisions with TensorFlow on the same parts."""

    def __init__(self, store: Path, nets: Sequence[Version], parts: Sequence[Part]) -> None:
        """Computes TensorFlow's decisions.

        Args:
            store: the models store, with the fusions of all sets of two or more nets.
            nets: the nets.
            parts: the first is the test set.

        Raises:
            app.nets.files.NetUnusable: if a fusion is missing or damaged.
        """
        self._nets = nets
        self._parts = parts
        places = range(len(nets))
        self._fusions: Mapping[tuple[int, ...], Fusion] = {
            chosen: _fusion(store, [nets[i] for i in chosen])
            for size in range(1, len(nets) + 1)
            for chosen in combinations(places, size)
        }
        self._wanted = [
            self._score(
                part, [join_maps([net.maps(palms) for palms in part.probes]) for net in nets]
            )
            for part in parts
        ]

    def measure(self, precision: Precision, run: Run, processor: str) -> list[Measured]:
        """Returns the results of one precision for every set of nets.

        Args:
            precision: its name.
            run: the nets in that precision, in their order.
            processor: name of this processor.
        """
        found = [self._score(part, self._map(part, run, precision)) for part in self._parts]
        least = [
            min(
                float(_correlations(one.maps[i], wanted.maps[i]).min())
                for one, wanted in zip(found, self._wanted, strict=True)
            )
            for i in range(len(self._nets))
        ]
        return [
            Measured(
                nets=tuple(str(self._nets[i].key) for i in chosen),
                precision=precision,
                processor=processor,
                least_correlation=min(least[i] for i in chosen),
                trials=tuple(
                    self._compare(part, one, wanted, chosen)
                    for part, one, wanted in zip(self._parts, found, self._wanted, strict=True)
                ),
            )
            for chosen in self._fusions
        ]

    def _map(self, part: Part, run: Run, precision: str) -> list[VeinMaps]:
        """Returns each net's scaled maps of a part's probes."""
        maps: list[list[VeinMaps]] = [[] for _ in self._nets]
        count = sum(map(len, part.probes))
        with tqdm(total=count, desc=f"{precision}: running", unit="image", delay=1) as bar:
            for palms in part.probes:
                for start in range(0, len(palms), BATCH):
                    images = as_colour(palms.images(slice(start, start + BATCH)))
                    for own, outputs in zip(maps, run(images), strict=True):
                        own.append(VeinMaps.of(*outputs))
                    bar.update(len(images))
        joined = map(join_maps, maps)
        return [net.cohort.scaled(own) for net, own in zip(self._nets, joined, strict=True)]

    def _score(self, part: Part, maps: list[VeinMaps]) -> _Found:
        scores = [
            compare_trained(own, gallery, str(net.key))
            for net, own, gallery in zip(self._nets, maps, part.galleries, strict=True)
        ]
        return _Found(maps, scores)

    def _compare(self, part: Part, found: _Found, wanted: _Found, chosen: tuple[int, ...]) -> Trial:
        """Counts a set's decisions beside TensorFlow's."""
        ours, theirs = (self._decide(part, one, chosen) for one in (found, wanted))
        both = ours.decisions == theirs.decisions
        equal = both & ((ours.decisions != "match") | (ours.best == theirs.best))
        missed, confused = zip(*(_errors(one, part.owners) for one in (ours, theirs)), strict=True)
        return Trial(
            part=part.name,
            probes=len(part.owners),
            equal=int(equal.sum()),
            false_non_matches=missed[0],
            false_non_matches_of_tensorflow=missed[1],
            false_matches=confused[0],
            false_matches_of_tensorflow=confused[1],
        )

    def _decide(self, part: Part, found: _Found, chosen: tuple[int, ...]) -> Answers:
        fusion, counts = self._fusions[chosen], part.galleries[0].counts
        limits = fusion.calibration.at(FPIR_TARGET / len(counts), counts, probes=1, impostors=None)
        fused = fusion.combine([found.scores[i] for i in chosen])
        return decide(fused, limits.scores, limits.temperatures)


def _reference(nets: Sequence[Version], part: Part) -> list[VeinMaps]:
    """Returns each net's maps of a part's probes, computed by TensorFlow."""
    return [join_maps([net.maps(palms) for palms in part.probes]) for net in nets]


def _fusion(store: Path, nets: Sequence[Version]) -> Fusion:
    if len(nets) == 1:
        return Fusion((1.0,), nets[0].calibration)
    return read_fusion(store, [net.key for net in nets])


def _errors(answers: Answers, owners: NDArray[np.integer]) -> tuple[int, int]:
    """Returns the numbers of false non-matches and of false matches."""
    matched = answers.decisions == "match"
    right = matched & (answers.best == owners)
    return int(((owners != NOBODY) & ~right).sum()), int((matched & ~right).sum())


def _correlations(found: VeinMaps, wanted: VeinMaps) -> NDArray[np.floating]:
    """Returns the correlation of each image's two maps."""
    a, b = (maps.deviations.reshape(len(maps), -1) for maps in (found, wanted))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
