"""Checks a database before training: its images, its split, and copies across the split."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from training.database.index import Index
from training.database.palms import DataOptions, Palms, index_with, scan_database
from training.database.split import Split, split_palms
from training.leakage.find import Leakage, find_leaks
from training.report.contact_sheet import write_sheet
from training.report.files import write_text

SHOWN = 20
"""Largest number of lines of one kind in the text; the JSON file has all. Unreadable files are all
listed."""

GREY_SAMPLE = 256
"""Number of images whose grey levels are measured."""

MIN_GREY_LEVELS = 32
"""Least number of grey levels. The largest value in a 16-bit file sets its scale: 12 bits with a
single pixel of 65535 give only 17 levels, nearly black."""


CAPTURED = {"hand": "found in photographs of hands", "roi": "regions of interest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig(DataOptions):
    """Reports whether a database is fit to train on. 6,400 images take a minute on two cores.

    Reads every image once, splits the database and searches for copies across the parts. Nothing is
    trained. The exit code is 0 if the database is fit to train on, else 2.

    Attributes:
        out: JSON file for the full report; by default no file is written.
        sheet: with --roi auto, PNG file of the first 160 images in which no palm is found; none is
            written if there are none.
    """

    out: Path | None = None
    sheet: Path | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The report on a database.

    Attributes:
        folder: folder of the database.
        layout: name of the layout.
        counts: numbers of images, identities, persons, hands and sessions.
        left_out: number of image files that are not used, by reason.
        captures: number of images by how they were captured: "hand" or "roi". With --roi given
            all are taken for regions of interest.
        without_palm: for each path in which no palm is found, the reason; with --roi auto only.
        unreadable: for each path that cannot be read, the reason.
        sizes: number of images for each size and mode of their files, such as "800x600 RGB".
        grey_range: 1st and 99th percentile of the decoded images' grey levels, 0 to 255.
        images_per_identity: min, median and max of the number of readable images.
        too_few: number of readable images of each identity that has fewer than three, so that a
            part has none.
        split: the kind, the note, and the numbers of images, identities and sessions in each part;
            empty if the database cannot be split.
        split_error: why it cannot be split; None if it can.
        leakage: copies across the parts; None if it cannot be split.
        written: path of the JSON file; None if none is written.
    """

    folder: Path
    layout: str
    counts: dict[str, int]
    left_out: dict[str, int]
    captures: dict[str, int]
    without_palm: dict[str, str]
    unreadable: dict[str, str]
    sizes: dict[str, int]
    grey_range: tuple[int, int]
    images_per_identity: dict[str, float]
    too_few: dict[str, int]
    split: dict[str, Any]
    split_error: str | None
    leakage: Leakage | None
    written: Path | None

    @property
    def problems(self) -> list[str]:
        """Why the database is not fit to train on; empty if it is."""
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
        """Whether the database is fit to train on, and why not, in one sentence."""
        problems = "; ".join(self.problems)
        if problems:
            return f"{self.folder} is not fit to train on: {problems}."
        return f"{self.folder} is fit to train on."

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["written"]
        return values | {
            "folder": str(self.folder),
            "leakage": self.leakage and self.leakage.as_dict(),
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """Renders the report for the terminal."""
        few = [f"{name}: {count}" for name, count in self.too_few.items()]
        blocks = {
            "database": [f"{self.folder}, layout {self.layout}", _phrase(self.counts)],
            "left out": [f"{count} {reason}" for reason, count in self.left_out.items()],
            "palms": [_phrase({CAPTURED[name]: n for name, n in self.captures.items()})],
            "no palm": _first([f"{path}: {why}" for path, why in self.without_palm.items()]),
            "unreadable": [f"{path}: {why}" for path, why in self.unreadable.items()],
            "sizes": _first([f"{size}: {count}" for size, count in self.sizes.items()]),
            "grey levels": [
                "{} to {} of 0 to 255 (1st to 99th percentile)".format(*self.grey_range)
            ],
            "per identity": [_phrase(self.images_per_identity)],
            "too few": few and ["fewer than three images, one for each part:", *_first(few)],
            "split": [self.split_error] if self.split_error else _split_lines(self.split),
            "copies": _leak_lines(self.leakage),
            "written": [str(self.written)] if self.written else [],
            "verdict": [self.verdict],
        }
        return "\n".join(_block(title, lines) for title, lines in blocks.items() if lines)


def check(config: CheckConfig) -> CheckResult:
    """Reads a whole database, splits it and searches for copies.

    Returns:
        The report, if the database is fit to train on.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: if no layout fits; or if the database is not fit to train on, after printing the
            report.
        OSError: if the decoded images do not fit into scratch, or `out` cannot be written.
    """
    if config.out and config.out.is_dir():
        raise ValueError(f"--out {config.out} is a folder: name a JSON file")
    if config.sheet and config.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet {config.sheet} must end in .png")
    if config.sheet and config.roi != "auto":
        raise ValueError("--sheet needs --roi auto, which looks for the palms")
    result = _examine(config)
    if config.out:
        write_text(config.out, json.dumps(result.as_dict(), indent=1) + "\n")
    if config.sheet and result.without_palm:
        write_sheet(config.sheet, [config.data / path for path in result.without_palm])
    if result.problems:
        print(result)
        raise ValueError(result.verdict)
    return result


def _examine(config: CheckConfig) -> CheckResult:
    index = index_with(config)
    scan = scan_database(index, config)
    palms = scan.palms
    split, error = _try_split(palms, config)
    per_identity = np.bincount(palms.labels, minlength=len(palms.identities))
    few = np.flatnonzero(per_identity < 3)
    parts = split and {"kind": split.kind, "note": split.note, "parts": split.count_parts()}
    return CheckResult(
        folder=config.data,
        layout=index.layout,
        counts=_count(index),
        left_out=index.left_out,
        captures={**scan.captures},
        without_palm=scan.without_palm,
        unreadable=scan.unreadable,
        sizes=dict(scan.kinds.most_common()),
        grey_range=_measure_grey_range(palms),
        images_per_identity={
            "min": int(per_identity.min()),
            "median": float(np.median(per_identity)),
            "max": int(per_identity.max()),
        },
        too_few={palms.identities[i]: int(per_identity[i]) for i in few},
        split=parts or {},
        split_error=error,
        leakage=find_leaks(split) if split else None,
        written=config.out,
    )


def _measure_grey_range(palms: Palms) -> tuple[int, int]:
    """Returns the 1st and 99th percentile of the grey levels of evenly spaced images."""
    chosen = np.linspace(0, len(palms) - 1, min(len(palms), GREY_SAMPLE)).astype(np.int64)
    low, high = np.percentile(palms.images(chosen), (1, 99), method="nearest")
    return int(low), int(high)


def _try_split(palms: Palms, config: CheckConfig) -> tuple[Split | None, str | None]:
    try:
        return split_palms(palms, by=config.split, seed=config.split_seed), None
    except ValueError as error:
        return None, str(error)


def _count(index: Index) -> dict[str, int]:
    """Counts images, identities and, if the database has them, sessions, hands and persons."""
    counts = {"images": len(index.images), "identities": len(index.identities)}
    if index.session_names:
        counts["sessions"] = len(index.session_names)
    hands = {(image.identity, image.hand) for image in index.images if image.hand}
    if hands:
        counts["left hands"] = sum(hand == "L" for _, hand in hands)
        counts["right hands"] = sum(hand == "R" for _, hand in hands)
        counts["persons"] = len({identity.removesuffix(f"-{hand}") for identity, hand in hands})
    return counts


def _split_lines(split: dict[str, Any]) -> list[str]:
    parts = [f"{name:<11}{_phrase(counts)}" for name, counts in split["parts"].items()]
    return [f"by {split['kind']}", *parts, *filter(None, [split["note"]])]


def _leak_lines(leakage: Leakage | None) -> list[str]:
    if leakage is None:
        return []
    return [str(leakage), *_first([str(pair) for pair in leakage.pairs])]


def _phrase(counts: Mapping[str, float]) -> str:
    """Returns counts as text, such as "640 images, 320 identities"."""
    return ", ".join(f"{count:.10g} {name}" for name, count in counts.items())


def _first(lines: list[str]) -> list[str]:
    """Returns at most `SHOWN` lines, and a line with the number of the others."""
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more"] if rest > 0 else [])


def _block(title: str, lines: list[str]) -> str:
    """Returns lines beside a title, wrapped at 100 characters; names of files are not broken."""
    wrapper = textwrap.TextWrapper(86, break_long_words=False, break_on_hyphens=False)
    wrapped = "\n".join(map(wrapper.fill, lines))
    return f"{title:<14}" + textwrap.indent(wrapped, " " * 14)[14:]
