"""Whether a database can be trained on: what is in it, what cannot be read, what would mislead."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.database.index import Index, index_database
from training.database.palms import DataOptions, Palms
from training.database.scan import grey_range, read_through
from training.database.split import Split, split_palms
from training.leakage.find import Leakage, find_leaks

SHOWN = 20
"""Lines of one kind in the text, beyond which the JSON is easier to read; unreadable files are
listed to the last."""

MIN_GREY_LEVELS = 32
"""Decoding makes 65535 255, so 10 or 12 bits in a 16-bit file fill 5 or 17 levels: nearly black."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig(DataOptions):
    """What `python -m training check` does: reads every image once and trains nothing.

    A minute for 6,400 images on two cores. Prints a report; the exit code is 0 if the database is
    fit to train and 2 if it is not.

    Attributes:
        out: JSON file for the same in full, if wanted.
    """

    out: Path | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was found.

    Attributes:
        folder: the database.
        layout: name of the layout.
        counts: how many of what: images, identities, persons, hands and sessions.
        left_out: image files that are not taken, by reason.
        unreadable: reason by path, of all that cannot be read.
        sizes: images by size and mode as in the files, such as "800x600 RGB".
        grey_range: 1st and 99th percentile of the decoded images' grey levels, 0 to 255.
        images_per_identity: min, median and max of the readable ones.
        too_few: number of readable images of each identity that has fewer than three, which is
            one for each part.
        split: its kind, its note, and images, identities and sessions of every part; empty if the
            database cannot be split.
        split_error: why it cannot be split; None if it can.
        leakage: copies across the parts; None if it cannot be split.
    """

    folder: Path
    layout: str
    counts: dict[str, int]
    left_out: dict[str, int]
    unreadable: dict[str, str]
    sizes: dict[str, int]
    grey_range: tuple[int, int]
    images_per_identity: dict[str, float]
    too_few: dict[str, int]
    split: dict[str, Any]
    split_error: str | None
    leakage: Leakage | None

    @property
    def problems(self) -> list[str]:
        """Why the database is not fit to train; empty if it is."""
        problems = []
        if self.unreadable:
            problems.append(f"{len(self.unreadable)} files cannot be read: replace or remove them")
        darkest, brightest = self.grey_range
        if brightest - darkest + 1 < MIN_GREY_LEVELS:
            problems.append(
                f"the images fill {brightest - darkest + 1} of 256 grey levels ({darkest} to "
                f"{brightest}): rescale the files to the full range, which in 16 bits is 0 to 65535"
            )
        if self.split_error:
            problems.append(self.split_error)
        if self.leakage and self.leakage.pairs:
            exact, near = len(self.leakage.exact), len(self.leakage.near)
            problems.append(
                f"{exact} exact and {near} near copies across the split: remove them, or choose "
                "another --split"
            )
        return problems

    @property
    def verdict(self) -> str:
        """One line."""
        problems = "; ".join(self.problems)
        return f"not fit to train: {problems}" if problems else "fit to train"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **asdict(replace(self, folder=Path(), leakage=None)),
            "folder": str(self.folder),
            "leakage": self.leakage and self.leakage.as_dict(),
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """The report, for a person."""
        few = [f"{name}: {count}" for name, count in self.too_few.items()]
        blocks = {
            "database": [f"{self.folder}, layout {self.layout}", _phrase(self.counts)],
            "left out": [f"{count} {reason}" for reason, count in self.left_out.items()],
            "unreadable": [f"{path}: {why}" for path, why in self.unreadable.items()],
            "sizes": _first([f"{size}: {count}" for size, count in self.sizes.items()]),
            "grey levels": [
                "{} to {} of 0 to 255, but for 1 % at either end".format(*self.grey_range)
            ],
            "per identity": [_phrase(self.images_per_identity)],
            "too few": _first(few) and ["fewer than one image for each part:", *_first(few)],
            "split": [self.split_error] if self.split_error else _split_lines(self.split),
            "copies": _leak_lines(self.leakage),
            "verdict": [self.verdict],
        }
        return "\n".join(_block(title, lines) for title, lines in blocks.items() if lines)


def check(config: CheckConfig) -> CheckResult:
    """Reads a database through, splits it and looks for copies.

    Returns:
        What was found, if the database is fit to train.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: if no layout fits; and if the database is not fit to train, after the report was
            printed.
        OSError: if the decoded images find no room in scratch.
    """
    index = index_database(
        config.data, layout=config.layout, classes=config.classes, bands=config.bands
    )
    palms, sizes, unreadable = read_through(index, config)
    split, error = _try_split(palms, config)
    per_identity = np.bincount(palms.labels, minlength=len(palms.identities))
    result = CheckResult(
        folder=config.data,
        layout=index.layout,
        counts=_count(index),
        left_out=index.left_out,
        unreadable=unreadable,
        sizes=dict(sizes.most_common()),
        grey_range=grey_range(palms),
        images_per_identity=_spread(per_identity),
        too_few={
            palms.identities[i]: int(per_identity[i]) for i in np.flatnonzero(per_identity < 3)
        },
        split=_describe(split) if split else {},
        split_error=error,
        leakage=find_leaks(split) if split else None,
    )
    if config.out:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if result.problems:
        print(result)
        raise ValueError(f"{config.data}: {result.verdict}")
    return result


def _try_split(palms: Palms, config: CheckConfig) -> tuple[Split | None, str | None]:
    try:
        return split_palms(palms, by=config.split, seed=config.split_seed), None
    except ValueError as error:
        return None, str(error)


def _count(index: Index) -> dict[str, int]:
    """Images, identities and, where the database tells them, sessions, hands and persons."""
    counts = {"images": len(index.images), "identities": len(index.identities)}
    if index.session_names:
        counts["sessions"] = len(index.session_names)
    hands = {(p.identity, p.hand) for p in index.images if p.hand}
    if hands:
        counts["left hands"] = sum(hand == "L" for _, hand in hands)
        counts["right hands"] = sum(hand == "R" for _, hand in hands)
        counts["persons"] = len({identity.removesuffix(f"-{hand}") for identity, hand in hands})
    return counts


def _spread(per_identity: NDArray[np.int64]) -> dict[str, float]:
    return {
        "min": int(per_identity.min()),
        "median": float(np.median(per_identity)),
        "max": int(per_identity.max()),
    }


def _describe(split: Split) -> dict[str, Any]:
    """Kind and note, and how much of what is in each part."""
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    return {
        "kind": split.kind,
        "note": split.note,
        "parts": {
            name: {
                "images": len(palms),
                "identities": len(np.unique(palms.labels)),
                "sessions": len(np.unique(palms.sessions[palms.sessions >= 0])),
            }
            for name, palms in parts.items()
        },
    }


def _split_lines(split: dict[str, Any]) -> list[str]:
    parts = [f"{name:<11}{_phrase(counts)}" for name, counts in split["parts"].items()]
    return [f"by {split['kind']}", *parts, *filter(None, [split["note"]])]


def _leak_lines(leakage: Leakage | None) -> list[str]:
    if leakage is None:
        return []
    return [str(leakage), *_first([str(pair) for pair in leakage.pairs])]


def _phrase(counts: Mapping[str, float]) -> str:
    """Names and numbers: "640 images, 320 identities"."""
    return ", ".join(f"{count:g} {name}" for name, count in counts.items())


def _first(lines: list[str]) -> list[str]:
    """At most `SHOWN` of them."""
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more"] if rest > 0 else [])


def _block(title: str, lines: list[str]) -> str:
    """A title and, to its right, lines of at most 100 characters, file names kept whole."""
    indent = " " * 14
    wrapped = [
        textwrap.fill(
            line,
            100,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
    ]
    return f"{title:<14}" + "\n".join(wrapped)[14:]
