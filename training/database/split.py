"""Training, validation and test: by session, by lot, or by identity. docs/databases.md compares."""

import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.palms import DataOptions, Palms, load_database

SPLITS = ("auto", "session", "identity", "seed")
MIN_OPEN_SET_IDENTITIES = 2
"""In a part of a split by identity: with one there is nobody to be confused with."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts of a database without a image in common.

    Attributes:
        train: what is learned.
        validation: what epochs, temperatures and thresholds are chosen by.
        test: what nothing is chosen by.
        kind: session, identity or seed.
        note: what the split cannot show and whom it leaves out; "" if there is nothing to say.
        seed: of the lots that were drawn; None if none were.
    """

    train: Palms
    validation: Palms
    test: Palms
    kind: str
    note: str = ""
    seed: int | None = None

    def __str__(self) -> str:
        """One line: the kind, the three counts, the note."""
        counts = f"{len(self.train)} training, {len(self.validation)} validation, {len(self.test)}"
        return f"split by {self.kind}: {counts} test" + (f"; {self.note}" if self.note else "")


def load_split(options: DataOptions) -> Split:
    """Reads and splits a database as a command's options say, and prints how.

    Raises:
        OSError, ValueError: as `load_palms` and `split_palms` do.
    """
    _check(options.split)  # before hours of decoding
    split = split_palms(load_database(options), by=options.split, seed=options.split_seed)
    tqdm.write(f"{options.data}: {split}", file=sys.stderr)
    return split


def split_palms(palms: Palms, *, by: str = "auto", seed: int = 1) -> Split:
    """Splits a database.

    Args:
        palms: all its images.
        by: session, identity, seed, or auto: by session where there are two or more, else by seed.
        seed: of the splits that draw lots.

    Returns:
        Parts whose labels index their own `identities`: all the database's in every part, except
        that a split by identity shares none.

    Raises:
        ValueError: if `by` is unknown or the images do not suffice for such a split.
    """
    _check(by)
    if by == "auto":
        by = "session" if len(palms.session_names) > 1 else "seed"
    if by == "identity":
        return _by_identity(palms, seed)
    split = _by_session(palms, seed) if by == "session" else _by_seed(palms, seed)
    _require(palms, split.train, "training", split.kind)
    return split


def split_strangers(strangers: Palms) -> tuple[Palms, Palms]:
    """Halves by identity, validation first: a threshold is chosen on one, judged on the other."""
    half = len(strangers.identities) // 2
    return strangers.select(strangers.labels < half), strangers.select(strangers.labels >= half)


def _check(by: str) -> None:
    if by not in SPLITS:
        raise ValueError(f"there is no split {by}: --split is one of {', '.join(SPLITS)}")


def _by_session(palms: Palms, seed: int) -> Split:
    """The last session is the test; who missed it stays, as somebody to be mistaken for."""
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
        untested = f"{_some(missing)} no test image and can only be mistaken for"
        split = replace(split, note="; ".join(filter(None, (split.note, untested))))
    return split


def _two_sessions(palms: Palms, second: Mask, seed: int) -> Split:
    """The validation is of the first session or, if that has single shots, of the second."""
    held = _last_fifth(palms) & ~second
    if held.any():
        note = "validation images are of the training's visits, so their figures are optimistic"
        return _cut(palms, held, second, "session", note)
    present = np.unique(palms.labels[second])
    drawn = np.random.default_rng(seed).permutation(present)[: max(len(present) // 5, 1)]
    held = second & np.isin(palms.labels, drawn)
    note = (
        "the first session has single shots and all are trained on, so the second session of "
        f"{len(drawn)} identities is the validation and that of the others the test"
    )
    return replace(_cut(palms, held, second & ~held, "session", note), seed=seed)


def _last_fifth(palms: Palms) -> Mask:
    """The last fifth, at least one, of every hand's shots at a visit, of which it has two or more.

    By shot, not by image: one moment in two bands is one shot and must not be parted.
    """
    held = np.zeros(len(palms), bool)
    visits = np.stack([palms.labels, palms.hands, palms.sessions], axis=1)
    _, visit = np.unique(visits, axis=0, return_inverse=True)
    order = np.argsort(visit.ravel(), kind="stable")
    ends = np.flatnonzero(np.diff(visit.ravel()[order])) + 1
    for rows in np.split(order, ends):
        shots = np.unique(palms.shots[rows])
        if len(shots) > 1:
            held[rows] = np.isin(palms.shots[rows], shots[-max(len(shots) // 5, 1) :])
    return held


def _by_seed(palms: Palms, seed: int) -> Split:
    """A fifth of all images is the validation, a fifth of the rest the test."""
    count = len(palms)
    validation = round(count / 5)
    test = round((count - validation) / 5)
    if test == 0:
        raise ValueError(f"{count} images are too few for a split by seed: take 4 or more")
    order = np.random.default_rng(seed).permutation(count)
    masks = np.zeros((2, count), bool)
    masks[0, order[:validation]] = True
    masks[1, order[validation : validation + test]] = True
    note = "images of one visit are in all parts, so the figures are optimistic across visits"
    return replace(_cut(palms, masks[0], masks[1], "seed", note), seed=seed)


def _by_identity(palms: Palms, seed: int) -> Split:
    """A fifth of the identities is the validation, another the test."""
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
    split = _cut(palms, held, tested, "identity")
    return replace(
        split,
        train=split.train.relabelled(),
        validation=split.validation.relabelled(),
        test=split.test.relabelled(),
        seed=seed,
    )


def _cut(palms: Palms, validation: Mask, test: Mask, kind: str, note: str = "") -> Split:
    train = palms.select(~validation & ~test)
    parts = {"training": train, "validation": palms.select(validation), "test": palms.select(test)}
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise ValueError(
            f"{len(palms)} images leave nothing for {' and '.join(empty)} in a split by {kind}: "
            "add images or choose another --split"
        )
    return Split(*parts.values(), kind, note)


def _require(palms: Palms, part: Palms, name: str, kind: str) -> None:
    """Every identity must be in that part."""
    if missing := _missing(palms, part):
        raise ValueError(
            f"{_some(missing)} no {name} image in a split by {kind}: add images, remove "
            "the identity's folder, or choose another --split"
        )


def _missing(all_of: Palms, part: Palms) -> list[str]:
    present = set(part.labels.tolist())
    return [name for label, name in enumerate(all_of.identities) if label not in present]


def _some(names: list[str]) -> str:
    """Counts and names: "2 identities (a, b) have"."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} {'identity' if len(names) == 1 else 'identities'} ({shown}) " + (
        "has" if len(names) == 1 else "have"
    )
