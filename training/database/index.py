"""Indexes a database by its file paths: which images it has, and the identity of each."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from training.database.layouts import (
    LAYOUTS,
    NAMED,
    OTHER_BAND,
    WITHOUT_PEOPLE,
    Layout,
    Name,
    may_be_session_first,
)

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
UNKNOWN = "with names that do not fit the layout"
NO_ROI = "outside the roi folder, which is used instead"

Classes = Literal["palm", "person"]
Order = tuple[list[tuple[int, str]], str]


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """One image file.

    Attributes:
        path: relative to the database's folder, with slashes.
        identity: "017-L" if classes are palms, "017" if they are persons.
        session: name of the session; None if the database has no sessions.
        hand: L or R; None if the database does not say.
        shot: number within hand and session; the images of one shot in several bands share it.
    """

    path: str
    identity: str
    session: str | None
    hand: str | None
    shot: int


@dataclass(frozen=True, slots=True)
class Index:
    """A database's images.

    Attributes:
        layout: name of the layout, a key of `training.database.layouts.LAYOUTS`.
        images: the images to use, sorted by identity, session and path.
        left_out: numbers of image files that are not used, by reason.
    """

    layout: str
    images: tuple[IndexedImage, ...]
    left_out: dict[str, int]

    @property
    def files(self) -> tuple[str, ...]:
        """Every image's path."""
        return tuple(image.path for image in self.images)

    @property
    def identities(self) -> tuple[str, ...]:
        """All identities, sorted."""
        return tuple(sorted({image.identity for image in self.images}))

    @property
    def session_names(self) -> tuple[str, ...]:
        """All sessions in order, s2 before s10; empty if the database has none."""
        names = {image.session for image in self.images if image.session is not None}
        return tuple(sorted(names, key=_natural))

    def __str__(self) -> str:
        """Describes the index in one line."""
        sessions = f", {len(self.session_names)} sessions" if self.session_names else ""
        text = f"layout {self.layout}, {len(self.images)} images of {len(self.identities)}"
        text += f" identities{sessions}"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{text}; left out: {reasons}" if reasons else text


def index_database(
    folder: Path,
    *,
    layout: Layout = "auto",
    classes: Classes = "palm",
    bands: Sequence[int] = (850, 940),
) -> Index:
    """Finds a database's images by their paths; docs/databases.md describes the layouts.

    Args:
        folder: folder of the database. Hidden files and files that are not images are ignored.
        layout: how folders and files are named; auto detects it.
        classes: what an identity is; palm makes the hands of a person two identities.
        bands: wavelengths in nm to use if the database has several.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: if an option is unknown, no layout fits, several may fit, or there are fewer
            than two identities.
    """
    require_choice("layout", layout, Layout)
    require_choice("classes", classes, Classes)
    paths = _find_images(folder)
    chosen = _detect_layout(folder, paths) if layout == "auto" else layout
    if classes == "person" and chosen in WITHOUT_PEOPLE:
        raise ValueError(
            f"{folder}: layout {chosen} does not say which palms are one person's: use "
            "--classes palm"
        )
    named, left_out = _select(folder, paths, chosen, bands)
    images = tuple(_number_shots(named, classes))
    identities = {image.identity for image in images}
    if len(identities) < 2:
        raise ValueError(
            f"{folder}: only one identity ({identities.pop()}) in layout {chosen}, but at least "
            "two are needed: name the folder that holds all identities, or choose another --layout"
        )
    return Index(chosen, images, left_out)


def require_choice(option: str, value: str, choices: Any) -> None:
    """Checks that an option's value is one of the choices of a Literal type.

    Raises:
        ValueError: if it is not; the message names the value and the choices.
    """
    if value not in get_args(choices):
        raise ValueError(
            f"--{option} {value} is unknown: choose one of {', '.join(get_args(choices))}"
        )


def _find_images(folder: Path) -> list[PurePosixPath]:
    """Returns the paths of all image files, sorted, relative to the folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: name the database's folder with --data")
    paths: list[PurePosixPath] = []
    for root, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        here = Path(root).resolve()
        # Following a link to a folder above would never end.
        folders[:] = [
            name
            for name in folders
            if name[0] != "." and not here.is_relative_to((Path(root) / name).resolve())
        ]
        paths += [
            PurePosixPath(Path(root, name).relative_to(folder).as_posix())
            for name in files
            if name[0] != "." and Path(name).suffix.lower() in SUFFIXES
        ]
    if not paths:
        raise FileNotFoundError(
            f"{folder}: no images at <identity>/<session>/<image>, nor in another layout of "
            "docs/databases.md: name the database's folder with --data"
        )
    return sorted(paths)


def _fail(error: OSError) -> None:
    """Raises the error; by default os.walk treats an unreadable folder as empty."""
    raise error


def _detect_layout(folder: Path, paths: list[PurePosixPath]) -> str:
    """Returns the named layout that fits most files, or plain if none fits any."""
    fits = {name: [p for p in paths if parse(p)] for name, parse in NAMED.items()}
    fits = {name: fitting for name, fitting in fits.items() if fitting}
    if not fits and any(LAYOUTS["plain"](path) for path in paths):
        _refuse_session_first(folder, paths)
        return "plain"
    if not fits:
        raise ValueError(
            f"{folder}: no layout fits its {len(paths)} images, such as {paths[0]}: arrange them "
            f"as <identity>/<session>/<image>, or choose one of {', '.join(LAYOUTS)} with --layout"
        )
    (best, fitting), *others = fits.items()
    if not others and 2 * len(fitting) > len(paths):
        return best
    candidates = "; ".join(f"{name} fits {len(f)}, such as {f[0]}" for name, f in fits.items())
    raise ValueError(
        f"{folder}: of its {len(paths)} images {candidates}: choose the layout with --layout "
        f"({', '.join(fits)} or plain), or name the folder of one database with --data"
    )


def _refuse_session_first(folder: Path, paths: list[PurePosixPath]) -> None:
    """Refuses folders that may be <session>/<identity>, which `plain` would read wrongly."""
    deep = [path.parts for path in paths if len(path.parts) == 3]
    outer = sorted({parts[0] for parts in deep}, key=_natural)
    inner = sorted({parts[1] for parts in deep}, key=_natural)
    if deep and may_be_session_first(outer, inner):
        raise ValueError(
            f"{folder}: its folders may be {len(outer)} identities ({_some(outer)}) with "
            f"{len(inner)} sessions ({_some(inner)}), or {len(outer)} sessions of {len(inner)} "
            "identities: choose --layout plain for <identity>/<session>/<image> or --layout "
            "session-first for <session>/<identity>/<image>, or arrange the images as "
            "<identity>/session1/<image>"
        )


def _select(
    folder: Path, paths: list[PurePosixPath], layout: str, bands: Sequence[int]
) -> tuple[dict[PurePosixPath, Name], dict[str, int]]:
    """Returns the images to use with their parsed names, and how many are left out, by reason."""
    known = {path: name for path in paths if (name := LAYOUTS[layout](path))}
    if not known:
        raise ValueError(
            f"{folder}: layout {layout} fits none of its {len(paths)} images, such as {paths[0]}: "
            "choose another --layout, such as auto"
        )
    if layout == "plain":
        _refuse_mixed_depths(folder, known)
    rois = layout in NAMED and any(_is_roi(path) for path in known)
    reasons = {
        path: name.left_out
        or (OTHER_BAND if name.band_nm not in (None, *bands) else None)
        or (NO_ROI if rois and not _is_roi(path) else None)
        for path, name in known.items()
    }
    used = {path: name for path, name in known.items() if not reasons[path]}
    unknown = [UNKNOWN] * (len(paths) - len(known))
    left_out = dict(Counter([*filter(None, reasons.values()), *unknown]))
    if not used:
        counts = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        has = sorted({name.band_nm for name in known.values() if name.band_nm})
        hint = f": choose from --bands {' '.join(map(str, has))}" if has else ""
        raise ValueError(f"{folder}: no image can be used (of {len(paths)}: {counts}){hint}")
    _refuse_doubles(folder, used)
    return used, left_out


def _refuse_mixed_depths(folder: Path, known: dict[PurePosixPath, Name]) -> None:
    """Refuses a database in which only some identities have session folders."""
    if len({name.session is None for name in known.values()}) > 1:
        shallow, deep = (next(p for p in known if len(p.parts) == depth) for depth in (2, 3))
        raise ValueError(
            f"{folder}: some images are in a session's folder ({deep}) and some are not "
            f"({shallow}): use folders of sessions for every identity or for none"
        )


def _is_roi(path: PurePosixPath) -> bool:
    return any(part.lower() == "roi" for part in path.parts[:-1])


def _refuse_doubles(folder: Path, used: dict[PurePosixPath, Name]) -> None:
    """Refuses two files of one shot: a split could put them into different parts."""
    seen: dict[Name, PurePosixPath] = {}
    for path, name in used.items():
        if name.shot is not None and seen.setdefault(name, path) != path:
            raise ValueError(
                f"{folder}: {seen[name]} and {path} are named as the same shot: give --data a "
                "folder with one kind of images"
            )


def _number_shots(named: dict[PurePosixPath, Name], classes: Classes) -> Iterator[IndexedImage]:
    """Yields images sorted by identity, session and path; numbers shots without a number."""
    images = [
        IndexedImage(str(path), _identity(name, classes), name.session, name.hand, name.shot or 0)
        for path, name in named.items()
    ]

    def session(image: IndexedImage) -> tuple[str, Order]:
        return image.identity, _natural(image.session or "")

    images.sort(key=lambda image: (session(image), image.path))
    for _, group in groupby(images, session):
        shots = list(group)
        if any(image.shot for image in shots):
            yield from shots
            continue
        order = sorted(shots, key=lambda image: _natural(image.path))
        numbers = {image: number for number, image in enumerate(order, 1)}
        yield from (replace(image, shot=numbers[image]) for image in shots)


def _identity(name: Name, classes: Classes) -> str:
    return name.person if classes == "person" or not name.hand else f"{name.person}-{name.hand}"


def _natural(text: str) -> Order:
    """Returns a sort key that puts s2 before s10 and differs for s1 and s01."""
    runs = re.findall(r"\d+|\D+", text)
    return [(int(run), "") if run.isdecimal() else (-1, run) for run in runs], text


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
