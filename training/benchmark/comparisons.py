"""Comparisons of every probe with every identity's template, from which all rates are counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms

PAIRS_AT_ONCE = 1 << 22
"""Similarities in one block: 16 MiB."""

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Trials:
    """The templates and the probes, with their identities and subjects.

    Attributes:
        templates: bool [N], which images are templates; all others are probes.
        own: int32 [P], each probe's identity, which is its column in a matrix of similarities.
        subjects: int32 [P], each probe's subject (person), from 0 to S - 1.
        owners: int32 [I], each identity's subject; S and above for subjects without a probe.
    """

    templates: NDArray[np.bool_]
    own: Int32
    subjects: Int32
    owners: Int32

    @property
    def subject_count(self) -> int:
        """S, the number of subjects with a probe."""
        return int(self.subjects.max()) + 1

    @classmethod
    def of(cls, palms: Palms, templates: NDArray[np.bool_]) -> "Trials":
        """Numbers the subjects, those with a probe first; both hands of a person are one subject.

        Args:
            palms: all N images.
            templates: bool [N], which images are templates.
        """
        _, person = np.unique(_person_names(palms), return_inverse=True)
        own = palms.labels[~templates]
        tested = np.unique(person[own])
        rest = np.setdiff1d(person, tested)
        number = np.empty(len(tested) + len(rest), np.int32)
        number[np.concatenate([tested, rest])] = np.arange(len(number))
        owners = number[person]
        return cls(templates, own, owners[own], owners)


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The similarities of one matcher.

    Attributes:
        similarities: float32 [P, I], every probe to every identity's template.
        trials: identities and subjects of the rows and columns.
        pairs_at_once: similarities in one block; it changes only the memory needed.
    """

    similarities: Float32
    trials: Trials
    pairs_at_once: int = PAIRS_AT_ONCE

    def genuine(self) -> Float32:
        """Returns float32 [P], the similarity of each probe to its own identity's template."""
        return self.similarities[np.arange(len(self.trials.own)), self.trials.own]

    def blocks(self) -> list[slice]:
        """Returns slices of rows that split the similarities into blocks, to save memory."""
        rows, columns = self.similarities.shape
        step = max(self.pairs_at_once // columns, 1)
        return [slice(start, start + step) for start in range(0, rows, step)]

    def impostors(self) -> Iterator[Float32]:
        """Yields the similarities of probes to other subjects' templates, in flat blocks.

        A subject's other hand is not an impostor: ISO/IEC 19795-1 excludes comparisons within one
        subject, because two hands of one subject may be more alike than hands of two subjects.
        """
        for rows in self.blocks():
            yield self.similarities[rows][self.are_impostors(rows)]

    def are_impostors(self, rows: slice) -> NDArray[np.bool_]:
        """Returns which comparisons in these rows are between two subjects, bool [b, I]."""
        return self.trials.subjects[rows, None] != self.trials.owners


def _person_names(palms: Palms) -> list[str]:
    """Returns the name of each identity's person: 017 for 017-L and 017-R, if hands are known."""
    hands = np.full(len(palms.identities), -1)
    hands[palms.labels] = palms.hands
    return [
        name.removesuffix(f"-{'LR'[hand]}") if hand >= 0 else name
        for name, hand in zip(palms.identities, hands, strict=True)
    ]
