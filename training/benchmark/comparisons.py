"""Comparisons of every probe with every identity, from which all rates are counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms

PAIRS_AT_ONCE = 1 << 22
"""Similarities in one block: 16 MiB."""

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Rows = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Trials:
    """The templates and the probes, with their identities and subjects.

    Attributes:
        templates: integers [T], numbers of the images that are templates.
        probes: integers [P], numbers of the images that are probes.
        enrolled: int32 [T], each template's identity; every identity has a template.
        own: int32 [P], each probe's identity, which is its column in a matrix of similarities.
        subjects: int32 [P], each probe's subject (person), from 0 to S - 1.
        owners: int32 [I], each identity's subject; S and above for subjects without a probe.
    """

    templates: Rows
    probes: Rows
    enrolled: Int32
    own: Int32
    subjects: Int32
    owners: Int32

    @property
    def subject_count(self) -> int:
        """S, the number of subjects with a probe."""
        return int(self.subjects.max()) + 1

    @property
    def template_counts(self) -> NDArray[np.int64]:
        """int64 [I], the number of templates of each identity."""
        return np.bincount(self.enrolled, minlength=len(self.owners))

    @classmethod
    def of(cls, palms: Palms, templates: NDArray[np.bool_], most: int | None = None) -> "Trials":
        """Numbers the subjects, those with a probe first; both hands of a person are one subject.

        Args:
            palms: all N images.
            templates: bool [N], which images are templates; all others are probes.
            most: largest number of templates of an identity; its first ones are used, the others
                are neither templates nor probes.
        """
        _, person = np.unique(_person_names(palms), return_inverse=True)
        own = palms.labels[~templates]
        tested = np.unique(person[own])
        rest = np.setdiff1d(person, tested)
        number = np.empty(len(tested) + len(rest), np.int32)
        number[np.concatenate([tested, rest])] = np.arange(len(number))
        owners = number[person]
        kept = _first_of_each(np.flatnonzero(templates), palms.labels, most)
        probes = np.flatnonzero(~templates)
        return cls(kept, probes, palms.labels[kept], own, owners[own], owners)

    def among(self, identities: Rows) -> tuple[Rows, Rows, "Trials"]:
        """Returns the trials of some identities among each other.

        Args:
            identities: integers [J] in rising order, the identities that are kept.

        Returns:
            Positions of the kept probes and of the kept templates in `probes` and `templates`; and
            the trials, whose subjects keep their numbers.
        """
        rows = np.flatnonzero(np.isin(self.own, identities))
        columns = np.flatnonzero(np.isin(self.enrolled, identities))
        trials = Trials(
            self.templates[columns],
            self.probes[rows],
            np.searchsorted(identities, self.enrolled[columns]).astype(np.int32),
            np.searchsorted(identities, self.own[rows]).astype(np.int32),
            self.subjects[rows],
            self.owners[identities],
        )
        return rows, columns, trials


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The similarities of one matcher.

    Attributes:
        similarities: float32 [P, I], every probe to every identity.
        trials: identities and subjects of the rows and columns.
        pairs_at_once: similarities in one block; it changes only the memory needed.
    """

    similarities: Float32
    trials: Trials
    pairs_at_once: int = PAIRS_AT_ONCE

    def genuine(self) -> Float32:
        """Returns float32 [P], the similarity of each probe to its own identity."""
        return self.similarities[np.arange(len(self.trials.own)), self.trials.own]

    def blocks(self) -> list[slice]:
        """Returns slices of rows that split the similarities into blocks, to save memory."""
        rows, columns = self.similarities.shape
        step = max(self.pairs_at_once // columns, 1)
        return [slice(start, start + step) for start in range(0, rows, step)]

    def impostors(self) -> Iterator[Float32]:
        """Yields the similarities of probes to other subjects' identities, in flat blocks.

        A subject's other hand is not an impostor: ISO/IEC 19795-1 excludes comparisons within one
        subject, because two hands of one subject may be more alike than hands of two subjects.
        """
        for rows in self.blocks():
            yield self.similarities[rows][self.are_impostors(rows)]

    def are_impostors(self, rows: slice) -> NDArray[np.bool_]:
        """Returns which comparisons in these rows are between two subjects, bool [b, I]."""
        return self.trials.subjects[rows, None] != self.trials.owners


def _first_of_each(rows: Rows, labels: Int32, most: int | None) -> Rows:
    """Returns the first `most` of the images `rows` of each identity, in rising order."""
    by_identity = rows[np.argsort(labels[rows], kind="stable")]
    ordered = labels[by_identity]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return np.sort(by_identity[place < (len(rows) if most is None else most)])


def _person_names(palms: Palms) -> list[str]:
    """Returns the name of each identity's person: 017 for 017-L and 017-R, if hands are known."""
    hands = np.full(len(palms.identities), -1)
    hands[palms.labels] = palms.hands
    return [
        name.removesuffix(f"-{'LR'[hand]}") if hand >= 0 else name
        for name, hand in zip(palms.identities, hands, strict=True)
    ]
