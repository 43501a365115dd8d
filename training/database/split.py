"""Splits a database into training, validation and test; docs/databases.md compares the splits."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.index import require_choice
from training.database.palms import DataOptions, Palms, SplitKind, load_database

MIN_OPEN_SET_IDENTITIES = 2
"""Fewest identities in a part of a split by identity: one identity has no impostors."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts of a database that share no image.

    Attributes:
        train: images to learn from.
        validation: images for choosing epochs, temperatures and thresholds.
        test: images for evaluation only.
        kind: session, identity or seed.
        note: limits of the figures that the split gives; may be empty.
        seed: seed of the random sampling; None if nothing was sampled.
    """

    train: Palms
    validation: Palms
    test: Palms
    kind: str
    note: str = ""
    seed: int | None = None

    @property
    def parts(self) -> dict[str, Palms]:
        """The parts, by their names in reports."""
        return {"training": self.train, "validation": self.validation, "test": self.test}

    def count_parts(self) -> dict[str, dict[str, int]]:
        """Returns the numbers of images, identities and sessions in each part."""
        return {
            name: {
                "images": len(palms),
                "identities": len(np.unique(palms.labels)),
                "sessions": len(np.unique(palms.sessions[palms.sessions >= 0])),
            }
            for name, palms in self.parts.items()
        }

    def change_parts(self, change: Callable[[Palms], Palms]) -> "Split":
        """Returns the split with `change` applied to every part."""
        train, validation, test = map(change, self.parts.values())
        return replace(self, train=train, validation=validation, test=test)

    def __str__(self) -> str:
        """Describes the split in one line: the kind, the three counts, the note."""
        counts = f"{len(self.train)} training, {len(self.validation)} validation, {len(self.test)}"
        return f"split by {self.kind}: {counts} test" + (f"; {self.note}" if self.note else "")


def load_split(options: DataOptions) -> Split:
    """Reads and splits a database with the options of a command, and prints the result.

    Raises:
        OSError: see `load_database`.
        ValueError: see `load_database` and `split_palms`.
    """
    _require_options(options.split, options.split_seed)  # before hours of decoding
    split = split_palms(load_database(options), by=options.split, seed=options.split_seed)
    tqdm.write(f"{options.data}: {split}", file=sys.stderr)
    return split


def split_palms(palms: Palms, *, by: SplitKind = "auto", seed: int = 1) -> Split:
    """Splits a database.

    Args:
        palms: all images of the database.
        by: what separates the parts; auto is session if there are two or more, else seed.
        seed: seed of the random sampling, if the split needs any.

    Returns:
        Three parts, each labelled with the identities of the whole database. In a split by
        identity, each part has its own identities, labelled from 0.

    Raises:
        ValueError: if `by` is unknown, the seed is negative, or there are too few images.
    """
    _require_options(by, seed)
    if by == "auto":
        by = "session" if len(palms.session_names) > 1 else "seed"
    if by == "identity":
        return _by_identity(palms, seed)
    split = _by_session(palms, seed) if by == "session" else _by_seed(palms, seed)
    _require(palms, split.train, "training", split.kind)
    return split


def _require_options(by: str, seed: int) -> None:
    require_choice("split", by, SplitKind)
    if seed < 0:
        raise ValueError(f"--split-seed {seed} is negative: choose 0 or more")


def _by_session(palms: Palms, seed: int) -> Split:
    """Tests on the last session; identities without an image in it remain as impostors."""
    count = len(palms.session_names)
    if count < 2 or (palms.sessions < 0).any():
        raise ValueError(
            f"a split by session needs at least 2 sessions, and this database has {count} "
            f"({', '.join(palms.session_names) or 'none'}): use --split seed or identity"
        )
    last = palms.sessions == count - 1
    if count == 2:
        split = _two_sessions(palms, last, seed)
    else:
        split = _cut(palms, palms.sessions == count - 2, last, "session")
        _require(palms, split.validation, "validation", split.kind)
    if missing := _missing(palms, palms.select(last)):
        untested = f"{_some(missing)} no test image, so only false matches are measured for them"
        split = replace(split, note="; ".join(filter(None, (split.note, untested))))
    return split


def _two_sessions(palms: Palms, second: Mask, seed: int) -> Split:
    """Takes the validation from the first session or, if it has single shots, from the second."""
    held = _last_fifth(palms) & ~second
    if held.any():
        note = "training and validation share a session, so the validation's figures are optimistic"
        return _cut(palms, held, second, "session", note)
    present = np.unique(palms.labels[second])
    sampled = np.random.default_rng(seed).permutation(present)[: max(len(present) // 5, 1)]
    held = second & np.isin(palms.labels, sampled)
    note = (
        "the first session has one shot of each hand, all for training; the second session is the "
        f"validation for {len(sampled)} identities and the test for the others"
    )
    return _cut(palms, held, second & ~held, "session", note, seed)


def _last_fifth(palms: Palms) -> Mask:
    """Marks the last fifth, at least one, of each hand's shots in each session.

    A session with a single shot of the hand is not marked. Images of one shot in two bands stay
    together.
    """
    held = np.zeros(len(palms), bool)
    keys = np.stack([palms.labels, palms.hands, palms.sessions], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    ends = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    for rows in np.split(order, ends):
        shots = np.unique(palms.shots[rows])
        if len(shots) > 1:
            held[rows] = np.isin(palms.shots[rows], shots[-max(len(shots) // 5, 1) :])
    return held


def _by_seed(palms: Palms, seed: int) -> Split:
    """Samples a fifth of all images as the validation and a fifth of the rest as the test."""
    count = len(palms)
    validation = round(count / 5)
    test = round((count - validation) / 5)
    if test == 0:
        raise ValueError(f"{count} images are too few for a split by seed: 4 or more are needed")
    order = np.random.default_rng(seed).permutation(count)
    masks = np.zeros((2, count), bool)
    masks[0, order[:validation]] = True
    masks[1, order[validation : validation + test]] = True
    note = "the parts share sessions, so the figures are optimistic for a new session"
    return _cut(palms, masks[0], masks[1], "seed", note, seed)


def _by_identity(palms: Palms, seed: int) -> Split:
    """Samples a fifth of the identities as the validation and another fifth as the test."""
    count = len(palms.identities)
    part = max(round(count / 5), MIN_OPEN_SET_IDENTITIES)
    if count - 2 * part < MIN_OPEN_SET_IDENTITIES:
        raise ValueError(
            f"{count} identities are too few for a split by identity, which needs "
            f"{3 * MIN_OPEN_SET_IDENTITIES}: use --split session or seed"
        )
    order = np.random.default_rng(seed).permutation(count)
    held = np.isin(palms.labels, order[:part])
    tested = np.isin(palms.labels, order[part : 2 * part])
    return _cut(palms, held, tested, "identity", seed=seed).change_parts(Palms.relabelled)


def _cut(
    palms: Palms, validation: Mask, test: Mask, kind: str, note: str = "", seed: int | None = None
) -> Split:
    masks = {"training": ~validation & ~test, "validation": validation, "test": test}
    if empty := [name for name, mask in masks.items() if not mask.any()]:
        raise ValueError(
            f"{len(palms)} images leave nothing for {' and '.join(empty)} in a split by {kind}: "
            "add images or choose another --split"
        )
    train, held, tested = map(palms.select, masks.values())
    return Split(train, held, tested, kind, note, seed)


def _require(palms: Palms, part: Palms, name: str, kind: str) -> None:
    """Refuses a split with an identity that has no image in that part."""
    if missing := _missing(palms, part):
        raise ValueError(
            f"{_some(missing)} no {name} image in a split by {kind}: add images, remove "
            "the identity's folder, or choose another --split"
        )


def _missing(all_of: Palms, part: Palms) -> list[str]:
    present = set(part.labels.tolist())
    return [name for label, name in enumerate(all_of.identities) if label not in present]


def _some(names: list[str]) -> str:
    """Returns the start of a sentence, such as "2 identities (a, b) have"."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} {'identity' if len(names) == 1 else 'identities'} ({shown}) " + (
        "has" if len(names) == 1 else "have"
    )
