"""Finds copies of one photograph in different parts of a split, which make its test worthless.

docs/leakage.md describes the method and the measurements behind its constants.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from tqdm.contrib.concurrent import thread_map

from training.database.palms import Palms
from training.database.split import Split
from training.leakage.copies import COPY_LIKENESS, Details, details, likeness
from training.leakage.hashes import ON_ALL_CORES, Hashed, hash_palms, nearest

COPY_BITS = 16
"""Largest distance at which hashes alone prove a copy. The nearest two shots of one palm in one
session that were measured are 24 bits apart (docs/leakage.md)."""

CANDIDATE_BITS = 74
"""Largest distance at which images are compared in detail. The nearest images of
different palms that were measured are 76 bits apart (docs/leakage.md)."""

CANDIDATES = 4
"""Number of images compared in detail with each image, the nearest first: few shots are nearer than
a copy, and the limit bounds the time if a hand did not move between many shots."""

TURNED_SAMPLE, TURNED_AGAINST = 128, 64
"""Number of held-out images for which turned copies are searched, and number of images of the same
identity that each is compared with. A sample is enough to detect images that were augmented before
the split (docs/leakage.md); comparing all would take hours for 100,000 images."""

PAIRS_SHOWN = 100
"""Largest number of pairs of either kind in the JSON: enough to find the cause."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images in different parts that are copies of one photograph.

    Attributes:
        first: path relative to the database's folder.
        second: path of the held-out image.
        first_part: training or validation.
        second_part: validation or test.
        distance: number of bits, of 256, in which their hashes differ; None if only the detailed
            comparison found them.
        mirrored: whether one is a mirror image of the other.
        likeness: result of `training.leakage.copies.likeness`; None if the hashes proved the copy.
    """

    first: str
    second: str
    first_part: str
    second_part: str
    distance: int | None
    mirrored: bool = False
    likeness: float | None = None

    def __str__(self) -> str:
        """Names both files and their parts."""
        kind = ", mirrored" if self.mirrored else ""
        return f"{self.first} ({self.first_part}) and {self.second} ({self.second_part}{kind})"


@dataclass(frozen=True, slots=True)
class Leakage:
    """Copies and sessions that the parts of a split share.

    Attributes:
        exact: pairs with equal pixels after decoding.
        near: pairs of copies that were re-encoded, resized, cropped, shifted, mirrored or turned:
            the nearest pair for each held-out image and each other part.
        sessions_shared: number of sessions, of one identity each, with images in more than one
            part.
        sampled: number of held-out images for which turned copies were searched.
        held_out: number of images in validation and test.
    """

    exact: tuple[Pair, ...]
    near: tuple[Pair, ...]
    sessions_shared: int
    sampled: int
    held_out: int

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, exact ones first."""
        return self.exact + self.near

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON: counts, the first pairs of either kind, the statement."""
        return {
            "exact": len(self.exact),
            "near": len(self.near),
            "sessions_shared": self.sessions_shared,
            "sampled": self.sampled,
            "held_out": self.held_out,
            "exact_pairs": [asdict(pair) for pair in self.exact[:PAIRS_SHOWN]],
            "near_pairs": [asdict(pair) for pair in self.near[:PAIRS_SHOWN]],
            "statement": str(self),
        }

    def __str__(self) -> str:
        """Describes what was found, what it means and what cannot be found."""
        shared = "No session of an identity has images in more than one part."
        if self.sessions_shared:
            shared = (
                f"{self.sessions_shared} sessions, each of one identity, have images in more than "
                "one part: these are not copies, but figures are better than in a new session."
            )
        return (
            f"{len(self.exact)} exact and {len(self.near)} near copies across the parts. {shared} "
            "Near copies are found if they were re-encoded, resized, relit or mirrored, or cropped "
            "or shifted by at most 2 %. Copies that were turned, or shifted further, are searched "
            f"only for {self.sampled} of the {self.held_out} held-out images and among images of "
            "the same identity. Copies that were bent, cropped to a small part or heavily "
            "retouched are not found. Two shots of a hand that did not move may count as copies."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    name: str
    palms: Palms
    hashed: Hashed


class _Image(NamedTuple):
    """An image of a part, by its position in the part."""

    part: _Part
    position: int

    @property
    def file(self) -> str:
        return self.part.palms.files[self.position]

    @property
    def identity(self) -> str:
        return self.part.palms.identities[self.part.palms.labels[self.position]]

    def details(self, mirrored: bool = False) -> Details:
        pixels = self.part.palms.images(np.array([self.position]))[0]
        return details(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels)


def find_leaks(split: Split, seed: int = 1) -> Leakage:
    """Searches for copies of one photograph in different parts, and shows progress bars.

    On two cores, 6,400 images take half a minute and 100,000 some minutes. Only a few images are in
    memory at a time.

    Args:
        split: the parts.
        seed: seed of the sample for which turned copies are searched.
    """
    parts = [_Part(name, palms, hash_palms(palms, name)) for name, palms in split.parts.items()]
    couples = list(combinations(parts, 2))
    exact = [pair for couple in couples for pair in _find_exact(*couple)]
    near = [pair for couple in couples for pair in _find_near(*couple)]
    sample = _sample_held_out(parts, {pair.second for pair in exact + near}, seed)
    label = "looking for turned copies"
    turned = thread_map(partial(_find_turned, parts), sample, desc=label, **ON_ALL_CORES)
    return Leakage(
        exact=tuple(exact),
        near=tuple(near + [pair for pair in turned if pair]),
        sessions_shared=_count_shared_sessions(split),
        sampled=len(sample),
        held_out=len(split.validation) + len(split.test),
    )


def refuse_leaks(leakage: Leakage, allow: bool) -> None:
    """Checks that there are no copies, which would make the test worthless.

    Args:
        leakage: result of `find_leaks`.
        allow: whether copies are allowed.

    Raises:
        ValueError: if there are copies and they are not allowed.
    """
    if leakage.pairs and not allow:
        raise ValueError(
            f"{len(leakage.exact)} exact and {len(leakage.near)} near copies across the split, "
            f"such as {leakage.pairs[0]}: remove the copies, choose another --split, or train "
            "anyway with --allow-leaks"
        )


def _find_exact(first: _Part, second: _Part) -> Iterator[Pair]:
    seen = {digest: i for i, digest in reversed(list(enumerate(first.hashed.digests)))}
    for j, digest in enumerate(second.hashed.digests):
        if digest in seen:
            yield _pair(_Image(first, seen[digest]), _Image(second, j), 0)


def _find_near(first: _Part, second: _Part) -> list[Pair]:
    """Finds, for each image of the second part without an exact copy, its nearest copy."""
    label = f"comparing {second.name} with {first.name}"
    exact = set(first.hashed.digests)
    candidates = [
        (_Image(first, i), _Image(second, j), bits, mirrored)
        for mirrored, hashes in ((False, second.hashed.upright), (True, second.hashed.mirrored))
        for j, i, bits in nearest(
            hashes, first.hashed.upright, CANDIDATE_BITS, CANDIDATES, label
        ).tolist()
        if second.hashed.digests[j] not in exact
    ]
    closest: dict[str, Pair] = {}
    confirmed = thread_map(
        lambda candidate: _confirm(*candidate), candidates, desc=label, **ON_ALL_CORES
    )
    for pair in filter(None, confirmed):
        known = closest.setdefault(pair.second, pair)
        if (pair.distance or 0) < (known.distance or 0):
            closest[pair.second] = pair
    return list(closest.values())


def _confirm(first: _Image, second: _Image, bits: int, mirrored: bool) -> Pair | None:
    """Returns the pair if its hashes or its details prove a copy."""
    if bits <= COPY_BITS:
        return _pair(first, second, bits, mirrored)
    value = likeness(first.details(), second.details(mirrored))
    return _pair(first, second, bits, mirrored, value) if value >= COPY_LIKENESS else None


def _sample_held_out(parts: Sequence[_Part], known: set[str], seed: int) -> list[_Image]:
    """Samples held-out images that are not known copies and have an identity of earlier parts."""
    seen: set[str] = set()
    held_out: list[_Image] = []
    for part in parts:
        images = [_Image(part, j) for j in range(len(part.palms))]
        held_out += [
            image for image in images if image.file not in known and image.identity in seen
        ]
        seen |= {image.identity for image in images}
    sampled = np.random.default_rng(seed).permutation(len(held_out))[:TURNED_SAMPLE]
    return [held_out[k] for k in sorted(sampled.tolist())]


def _find_turned(parts: Sequence[_Part], probe: _Image) -> Pair | None:
    """Returns the first turned copy found among images of the same identity in earlier parts."""
    probes = [(mirrored, probe.details(mirrored)) for mirrored in (False, True)]
    earlier = parts[: parts.index(probe.part)]
    others = [image for part in earlier for image in _images_of(probe.identity, part)]
    order = np.random.default_rng(probe.position).permutation(len(others))[:TURNED_AGAINST]
    for other in (others[k] for k in order.tolist()):
        template = other.details()
        for mirrored, probe_details in probes:
            value = likeness(probe_details, template)
            if value >= COPY_LIKENESS:
                return _pair(other, probe, None, mirrored, value)
    return None


def _images_of(identity: str, part: _Part) -> list[_Image]:
    """Returns a part's images of an identity."""
    if identity not in part.palms.identities:
        return []
    label = part.palms.identities.index(identity)
    return [_Image(part, i) for i in np.flatnonzero(part.palms.labels == label).tolist()]


def _pair(
    first: _Image,
    second: _Image,
    distance: int | None,
    mirrored: bool = False,
    value: float | None = None,
) -> Pair:
    names = first.file, second.file, first.part.name, second.part.name
    return Pair(*names, distance, mirrored, None if value is None else round(value, 4))


def _count_shared_sessions(split: Split) -> int:
    """Counts the sessions of identities that have images in more than one part."""
    sessions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for part, palms in split.parts.items():
        for label, session in zip(palms.labels, palms.sessions, strict=True):
            if session >= 0:
                sessions[palms.identities[label], palms.session_names[session]].add(part)
    return sum(len(parts) > 1 for parts in sessions.values())
