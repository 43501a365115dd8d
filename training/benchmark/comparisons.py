"""Every probe against every identity's template: what all rates of a benchmark are counted from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.database.palms import Palms

PAIRS_AT_ONCE = 1 << 22
"""Similarities in a block: 16 MiB, whatever the size of the matrix."""

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Trials:
    """Which images are templates and which are probes, and whose.

    Attributes:
        templates: bool [N], which images are templates; all others are probes.
        own: int32 [P], each probe's identity: its column in a matrix of similarities.
        subjects: int32 [P], each probe's person, from 0; of S persons who have a probe.
        owners: int32 [I], each identity's person; S and more for those without a probe.
    """

    templates: NDArray[np.bool_]
    own: Int32
    subjects: Int32
    owners: Int32

    @property
    def subject_count(self) -> int:
        """S, the persons who have a probe."""
        return int(self.subjects.max()) + 1

    @classmethod
    def of(cls, palms: Palms, templates: NDArray[np.bool_]) -> "Trials":
        """Numbers the persons, those with a probe first; a person's two hands are one subject."""
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
    """What one matcher says.

    Attributes:
        similarities: float32 [P, I], of every probe to every identity's template.
        trials: whose the rows and columns are.
    """

    similarities: Float32
    trials: Trials

    def genuine(self) -> Float32:
        """float32 [P], of each probe to its own identity's template."""
        return self.similarities[np.arange(len(self.trials.own)), self.trials.own]

    def blocks(self) -> Iterator[slice]:
        """Rows by the block, so that what is computed of them stays small."""
        rows, columns = self.similarities.shape
        step = max(PAIRS_AT_ONCE // columns, 1)
        return (slice(start, start + step) for start in range(0, rows, step))

    def impostors(self) -> Iterator[Float32]:
        """Similarities of probes to other persons' templates, in flat blocks.

        A person's other hand is no impostor: ISO/IEC 19795-1 keeps comparisons within one person
        apart, for two hands of one body may be more alike than those of two.
        """
        for rows in self.blocks():
            yield self.similarities[rows][self.are_impostors(rows)]

    def are_impostors(self, rows: slice) -> NDArray[np.bool_]:
        """Which pairs of those rows are of two persons, bool [b, I]."""
        return self.trials.subjects[rows, None] != self.trials.owners


def _person_names(palms: Palms) -> list[str]:
    """Each identity's person, as far as the database says: 017 for 017-L and 017-R."""
    hands = np.full(len(palms.identities), -1)
    hands[palms.labels] = palms.hands
    return [
        name.removesuffix(f"-{'LR'[hand]}") if hand >= 0 else name
        for name, hand in zip(palms.identities, hands, strict=True)
    ]
