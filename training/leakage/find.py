"""Copies of one photograph on both sides of a split: they make its test worthless."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.palms import Palms
from training.database.split import Split
from training.leakage.copies import COPY_LIKENESS, details, likeness
from training.leakage.hashes import Hashed, hash_palms, nearest

COPY_BITS = 16
"""Up to here hashes prove a copy. Measured on 6,400 synthetic palms: of 22,400 pairs of shots of
one palm in one session the closest are 24 bits apart (1 in 1,000: 36, half: 106). The median and
the 95th percentile of copies: JPEG quality 50 6 and 10, quality 20 12 and 22, noise of sigma 5 6
and 12, half the size 2 and 6, contrast +-30 % 2 and 6, brightness +30 % 4 and 28, mirrored 0."""

CANDIDATE_BITS = 74
"""Up to here it is a copy if `training.leakage.copies` finds the details in place; the closest images of
different palms are 76 apart. Of 100 copies each under another label among 3,840 images, found:
JPEG quality 50, half the size, contrast +-30 %, blur, mirrored, mirrored as JPEG, shifted by 1 or
2 %, turned by 1 degree: all; noise of sigma 5 99; cropped by 1 or 2 % a side 98; brightness +30 %
(clipped) 96; turned by 3 degrees 95; JPEG quality 20 80; cropped by 4 % 48; turned by up to 10
degrees 46; histogram equalised 37; shifted by 4 % none; and of copies turned by up to 36 degrees,
zoomed and shifted by up to 10 % 2. Taken for copies wrongly: none."""

CANDIDATES = 4
"""Hashes looked at for each image, the nearest first: hardly any shot is nearer than a copy, and
a hand that was filmed costs no more than another."""

TURNED_SAMPLE, TURNED_AGAINST = 128, 64
"""Held-out images that are compared with images of their own identity, in any turn. Where
photographs were augmented before the split, most held-out ones have a copy, and a sample shows it;
comparing all would take hours for 100,000 images. Measured: 640 synthetic palms, each made into
ten by turns of up to 36 degrees, shifts and zooms of 10 %, contrast and mirroring, then split by
lot: of 256 sampled held-out images 256 were found, all rightly; hashes alone found 100 of 2,304.
The same 6,400 images before augmentation, split by lot or by session: none."""

PAIRS_SHOWN = 100
"""In the run's JSON: enough to find out what happened."""

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images in different parts that are copies of one photograph.

    Attributes:
        first: path relative to the database's folder.
        second: path of the held-out image.
        first_part: training or validation.
        second_part: validation or test.
        distance: bits of 256 in which their hashes differ; None where a comparison found them.
        mirrored: whether one is the other's mirror image.
        likeness: as `training.leakage.copies.likeness` has it; None where the hashes sufficed.
    """

    first: str
    second: str
    first_part: str
    second_part: str
    distance: int | None
    mirrored: bool = False
    likeness: float | None = None

    def __str__(self) -> str:
        """Both files with their parts."""
        kind = ", mirrored" if self.mirrored else ""
        return f"{self.first} ({self.first_part}) and {self.second} ({self.second_part}{kind})"


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the parts of a split have in common.

    Attributes:
        exact: pairs of equal pixels, as the nets get them.
        near: pairs of copies that were re-encoded, resized, cropped, shifted, mirrored or turned;
            of each held-out image and part, the closest.
        sessions_shared: visits (identity and session) with images in more than one part.
        sampled: held-out images of which turned copies were looked for.
        held_out: images of validation and test.
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
        """Plain values for JSON: counts, the first pairs of either kind, and the sentences."""
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
        """What was found, what it means and what cannot be seen."""
        shared = "No visit has images in more than one part."
        if self.sessions_shared:
            shared = (
                f"{self.sessions_shared} visits have images in more than one part: these are no "
                "copies, but they make figures better than a later visit will be."
            )
        return (
            f"{len(self.exact)} exact and {len(self.near)} near copies across the parts. {shared} "
            "Near copies are seen if they were re-encoded, resized, relit, mirrored, or cropped or "
            "shifted by some 2 % at most. Copies that were turned or moved further are looked for "
            f"among {self.sampled} of the {self.held_out} held-out images and only within their "
            "own identity. Not seen at all are copies that were bent, cut down to a part or "
            "heavily retouched. Two shots of a hand that did not move may be taken for copies."
        )


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    palms: Palms
    hashed: Hashed

    def image(self, index: int, mirrored: bool = False) -> NDArray[np.uint8]:
        """One image uint8 [H, W]."""
        image = self.palms.images(np.array([index]))[0]
        return np.ascontiguousarray(image[:, ::-1]) if mirrored else image

    def identity(self, index: int) -> str:
        return self.palms.identities[self.palms.labels[index]]


def find_leaks(split: Split, seed: int = 1) -> Leakage:
    """Looks for copies of one photograph in different parts.

    On two cores half a minute for 6,400 images, some minutes for 100,000; images are read a few
    at a time.

    Args:
        split: its parts.
        seed: of the sample in which turned copies are looked for.
    """
    named = {"training": split.train, "validation": split.validation, "test": split.test}
    parts = [_Part(name, palms, hash_palms(palms, name)) for name, palms in named.items()]
    couples = [(first, second) for first, second in combinations(parts, 2)]
    exact = [pair for couple in couples for pair in _exact(*couple)]
    near = [pair for couple in couples for pair in _near(*couple)]
    sample = _draw(parts, {pair.second for pair in exact + near}, seed)
    turned = _each(lambda probe: _turned(parts, *probe), sample, "looking for turned copies")
    return Leakage(
        tuple(exact),
        tuple(near + [pair for pair in turned if pair]),
        _shared_sessions(list(named.values())),
        len(sample),
        len(split.validation) + len(split.test),
    )


def refuse_leaks(leakage: Leakage, allow: bool) -> None:
    """Stops a training whose test would be worthless.

    Raises:
        ValueError: if there are copies and they are not allowed.
    """
    if leakage.pairs and not allow:
        raise ValueError(
            f"{len(leakage.exact)} exact and {len(leakage.near)} near copies across the split, "
            f"such as {leakage.pairs[0]}: remove the copies, choose another --split, or train all "
            "the same with --allow-leaks"
        )


def _exact(first: _Part, second: _Part) -> Iterator[Pair]:
    seen = {digest: i for i, digest in reversed(list(enumerate(first.hashed.digests)))}
    for j, digest in enumerate(second.hashed.digests):
        if digest in seen:
            yield _pair(first, seen[digest], second, j, 0)


def _near(first: _Part, second: _Part) -> list[Pair]:
    """Of each image of the second part the closest copy in the first; exact ones left out."""
    same = set(first.hashed.digests)
    hits = [
        (first, i, second, j, bits, mirrored)
        for mirrored, hashes in enumerate((second.hashed.upright, second.hashed.mirrored))
        for j, i, bits in nearest(hashes, first.hashed.upright, CANDIDATE_BITS, CANDIDATES).tolist()
        if second.hashed.digests[j] not in same
    ]
    closest: dict[str, Pair] = {}
    label = f"comparing {second.name} with {first.name}"
    for pair in filter(None, _each(lambda hit: _confirm(*hit), hits, label)):
        known = closest.setdefault(pair.second, pair)
        if (pair.distance or 0) < (known.distance or 0):
            closest[pair.second] = pair
    return list(closest.values())


def _confirm(first: _Part, i: int, second: _Part, j: int, bits: int, mirrored: bool) -> Pair | None:
    """The pair, if the hashes prove it or the details do."""
    if bits <= COPY_BITS:
        return _pair(first, i, second, j, bits, bool(mirrored))
    alike = likeness(details(first.image(i)), details(second.image(j, mirrored)))
    if alike < COPY_LIKENESS:
        return None
    return _pair(first, i, second, j, bits, bool(mirrored), round(alike, 4))


def _draw(parts: Sequence[_Part], known: set[str], seed: int) -> list[tuple[int, int]]:
    """Part and number of some held-out images, not known as copies, of identities seen before."""
    seen: set[str] = set()
    held_out: list[tuple[int, int]] = []
    for number, part in enumerate(parts):
        candidates = [j for j, file in enumerate(part.palms.files) if file not in known]
        held_out += [(number, j) for j in candidates if part.identity(j) in seen]
        seen |= {part.identity(j) for j in range(len(part.palms))}
    drawn = np.random.default_rng(seed).permutation(len(held_out))[:TURNED_SAMPLE]
    return [held_out[k] for k in sorted(drawn.tolist())]


def _turned(parts: Sequence[_Part], number: int, j: int) -> Pair | None:
    """The first image of the same identity in an earlier part that is a copy in any turn."""
    second = parts[number]
    probes = [details(second.image(j, mirrored)) for mirrored in (False, True)]
    others = [(first, i) for first in parts[:number] for i in _images_of(first, second, j)]
    for k in np.random.default_rng(j).permutation(len(others))[:TURNED_AGAINST].tolist():
        first, i = others[k]
        template = details(first.image(i))
        for mirrored, probe in enumerate(probes):
            alike = likeness(probe, template)
            if alike >= COPY_LIKENESS:
                return _pair(first, i, second, j, None, bool(mirrored), round(alike, 4))
    return None


def _images_of(first: _Part, second: _Part, j: int) -> list[int]:
    """The first part's images of the identity that the second's image j shows."""
    identity = second.identity(j)
    if identity not in first.palms.identities:
        return []
    label = first.palms.identities.index(identity)
    return np.flatnonzero(first.palms.labels == label).tolist()


def _pair(
    first: _Part,
    i: int,
    second: _Part,
    j: int,
    bits: int | None,
    mirrored: bool = False,
    alike: float | None = None,
) -> Pair:
    files = first.palms.files[i], second.palms.files[j]
    return Pair(*files, first.name, second.name, bits, mirrored, alike)


def _shared_sessions(parts: Sequence[Palms]) -> int:
    """Visits that have images in more than one part; images without a session have no visit."""
    visits: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, palms in enumerate(parts):
        for label, session in zip(palms.labels, palms.sessions, strict=True):
            if session >= 0:
                visits[palms.identities[label], palms.session_names[session]].add(number)
    return sum(len(parts_of_visit) > 1 for parts_of_visit in visits.values())


def _each(work: Callable[[Item], Found], items: Sequence[Item], label: str) -> list[Found]:
    """Results in order; OpenCV lets all cores work at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tqdm(pool.map(work, items), label, len(items), leave=False))
