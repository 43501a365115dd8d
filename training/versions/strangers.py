"""Strangers: palms that no net was trained on, on which thresholds are measured.

Each folder is one style of cameras. Templates are images of an identity's first session, probes of
its later ones, as between enrollment and a later identification.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FMRS, FPIR_TARGET, comparisons_needed
from training.database.palms import Palms, ReadingOptions, load_database
from training.database.split import Split

MAX_TEMPLATES = 6
"""Images of the first session that are used of each stranger."""

MAX_PROBES = 2
"""Images of later sessions that are used of each stranger."""

DIGEST_AT_ONCE = 256
"""Images in memory while digests are computed."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strangers:
    """N strangers before one style of cameras.

    Attributes:
        folder: folder of the database.
        templates: images of each stranger's first session, sorted by stranger.
        probes: images of each stranger's later sessions, sorted by stranger.
    """

    folder: Path
    templates: Palms
    probes: Palms

    @classmethod
    def choose(cls, palms: Palms, folder: Path) -> Self:
        """Chooses the images of all identities with two or more sessions.

        Args:
            palms: all images of the folder.
            folder: the folder, for messages.

        Raises:
            ValueError: if no identity has two sessions.
        """
        first = np.full(len(palms.identities), np.iinfo(np.int32).max)
        np.minimum.at(first, palms.labels, palms.sessions)
        later = palms.sessions > first[palms.labels]
        kept = np.isin(palms.labels, np.unique(palms.labels[later]))
        if not kept.any():
            raise ValueError(
                f"{folder} has no identity with images of two sessions, which calibrate: name "
                "the files <identity>/<session>/<image>"
            )
        templates, probes = (
            palms.select(kept & _first_images(palms, of, most))
            for of, most in ((~later, MAX_TEMPLATES), (later, MAX_PROBES))
        )
        return cls(folder, templates.relabelled(), probes.relabelled())

    def __len__(self) -> int:
        """Returns N."""
        return len(self.templates.identities)

    @property
    def sha256(self) -> str:
        """Digest of the database."""
        return self.templates.sha256

    @property
    def template_counts(self) -> Counts:
        """int64 [N], the number of templates of each stranger, at least 1."""
        return np.bincount(self.templates.labels)

    @property
    def probe_counts(self) -> Counts:
        """int64 [N], the number of probes of each stranger, at least 1."""
        return np.bincount(self.probes.labels)

    def with_images(self, templates: int, probes: int) -> NDArray[np.bool_]:
        """Marks [N] the strangers with at least so many images."""
        return (self.template_counts >= templates) & (self.probe_counts >= probes)


def choose_strangers(
    folders: Sequence[Path], split: Split, options: ReadingOptions
) -> list[Strangers]:
    """Reads the folders of strangers and chooses their images; see `load_strangers`.

    Raises:
        OSError: see `load_strangers`.
        ValueError: see `load_strangers`, or if no identity of a folder has two sessions.
    """
    loaded = load_strangers(folders, split, options)
    return [Strangers.choose(*one) for one in zip(loaded, folders, strict=True)]


def load_strangers(folders: Sequence[Path], split: Split, options: ReadingOptions) -> list[Palms]:
    """Reads the folders of strangers, and checks that they are not the database's own people.

    Args:
        folders: at least one.
        split: the database that the nets know.
        options: how the database was read; the folders' layouts are detected.

    Raises:
        OSError: see `training.database.palms.load_database`.
        ValueError: if no folder is named, or one shares an image with the database.
    """
    if not folders:
        raise ValueError("--strangers must name one or more folders, one for each style of cameras")
    known = {digest: f for part in split.parts.values() for digest, f in _digests(part).items()}
    loaded: list[Palms] = []
    for folder in folders:
        palms = load_database(replace(options, data=folder, layout="auto", classes="palm"))
        for digest, file in _digests(palms).items():
            if digest in known:
                raise ValueError(
                    f"{folder / file} is the same image as {known[digest]} of --data, so these are "
                    "no strangers: name a folder of other people's palms"
                )
        loaded.append(palms)
    return loaded


def fmr_needed(identities: int) -> float:
    """Returns the false match rate to measure for identification among so many identities.

    Raises:
        ValueError: if there are more identities than `FMRS` allow.
    """
    wanted = FPIR_TARGET / identities
    if wanted < FMRS[-1]:
        raise ValueError(
            f"{identities:,} identities need an FMR of {wanted:.1e}, and the lowest that is "
            f"measured is {FMRS[-1]:.0e}: export the net for fewer identities"
        )
    return next(fmr for fmr in FMRS if fmr <= wanted)


def require_enough(strangers: Sequence[Strangers], identities: int) -> float:
    """Checks that some folder measures the FMR that so many identities need, and returns it.

    The others may have fewer strangers: they show how much cameras differ.

    Raises:
        ValueError: if no folder has enough strangers, or one has too few to measure any rate; the
            message says how many are needed.
    """
    fmr = fmr_needed(identities)
    needed = comparisons_needed(fmr)
    least = 2 * strangers_needed(comparisons_needed(FMRS[0]))  # half of few form the mean map
    largest = max(strangers, key=len)
    found = comparisons(len(largest))
    if found < needed:
        raise ValueError(
            f"{largest.folder}: {len(largest):,} strangers with images of two sessions make "
            f"{found:,} comparisons. {identities:,} identities need an FMR of {fmr:.0e}, which "
            f"takes {needed:,} comparisons: give {strangers_needed(needed):,} or more strangers"
        )
    for one in strangers:
        if len(one) < least:
            raise ValueError(
                f"{one.folder}: {len(one):,} strangers with images of two sessions are too few to "
                f"measure a false match rate: give {least} or more"
            )
    return fmr


def comparisons(strangers: int) -> int:
    """Returns the impostor comparisons of so many strangers, one probe each."""
    return strangers * (strangers - 1)


def strangers_needed(needed: int) -> int:
    """Returns the least number of strangers that make so many comparisons."""
    return int(np.ceil(0.5 + np.sqrt(0.25 + needed)))


def _first_images(palms: Palms, of: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Marks the first images of each identity, at most `most`, among those marked `of`."""
    rows = np.flatnonzero(of)
    rows = rows[np.argsort(palms.labels[rows], kind="stable")]
    labels = palms.labels[rows]
    rank = np.arange(len(rows)) - np.searchsorted(labels, labels)
    marked = np.zeros(len(palms), bool)
    marked[rows[rank < most]] = True
    return marked


def _digests(palms: Palms) -> dict[bytes, str]:
    """Returns the file of each image by the digest of its pixels."""
    found: dict[bytes, str] = {}
    for start in range(0, len(palms), DIGEST_AT_ONCE):
        images = palms.images(slice(start, start + DIGEST_AT_ONCE))
        for image, file in zip(images, palms.files[start:], strict=False):
            found[blake2b(image.tobytes(), digest_size=16).digest()] = file
    return found
