"""Which images a database's folder holds and whose they are, before any of them is decoded."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

from training.database.layouts import LAYOUTS, NAMED, OTHER_BAND, WITHOUT_PEOPLE, Name

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
CLASSES = ("palm", "person")
UNKNOWN = "with a name of another form"
NO_ROI = "outside roi, which is taken instead"

Order = tuple[list[tuple[int, str]], str]


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """One image file.

    Attributes:
        path: relative to the database's folder, with slashes.
        identity: whose palm: "017-L" of the palm, "017" of the person.
        session: None where the database has none.
        hand: L or R; None where the database does not say.
        shot: number within hand and session; images of one moment in several bands share it.
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
        images: what is taken, sorted by identity, session and path.
        left_out: how many image files are not taken, by reason.
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
        """All sessions in order, s2 before s10; empty where the database has none."""
        names = {p.session for p in self.images if p.session is not None}
        return tuple(sorted(names, key=_natural))

    def __str__(self) -> str:
        """One line for the command's output."""
        sessions = f", {len(self.session_names)} sessions" if self.session_names else ""
        text = f"layout {self.layout}, {len(self.images)} images of {len(self.identities)}"
        text += f" identities{sessions}"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{text}; left out: {reasons}" if reasons else text


def index_database(
    folder: Path,
    *,
    layout: str = "auto",
    classes: str = "palm",
    bands: Sequence[int] = (850, 940),
) -> Index:
    """Finds a database's images by their names; docs/databases.md has the layouts.

    Args:
        folder: the database. Hidden files and files that are no images are passed over.
        layout: a key of `training.database.layouts.LAYOUTS`, or auto.
        classes: palm or person.
        bands: wavelengths in nm to take where a database has several.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: if no layout fits, several do, or there are fewer than two identities.
    """
    if classes not in CLASSES:
        raise ValueError(f"there are no classes {classes}: --classes is palm or person")
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"there is no layout {layout}: --layout is one of {', '.join(LAYOUTS)}")
    paths = _find(folder)
    if layout == "auto":
        layout = _detect(folder, paths)
    if classes == "person" and layout in WITHOUT_PEOPLE:
        raise ValueError(
            f"{folder}: {layout} numbers palms and does not tell whose they are: use --classes palm"
        )
    named, left_out = _choose(folder, paths, layout, bands)
    images = tuple(_number(named, classes))
    identities = {image.identity for image in images}
    if len(identities) < 2:
        raise ValueError(
            f"{folder}: one identity only ({identities.pop()}) in layout {layout}: two or more are "
            "needed; name the folder that holds them all, or another --layout"
        )
    return Index(layout, images, left_out)


def _find(folder: Path) -> list[PurePosixPath]:
    """Paths of all image files, sorted, relative to the folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: name the database's with --data")
    paths: list[PurePosixPath] = []
    for root, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        here = Path(root).resolve()
        # A link to a folder above would be walked for ever.
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
            f"{folder}: no images at <identity>/<session>/<image> or in another layout of "
            "docs/databases.md: name the database's folder with --data"
        )
    return sorted(paths)


def _fail(error: OSError) -> None:
    """A folder that cannot be read must not pass for an empty one."""
    raise error


def _detect(folder: Path, paths: list[PurePosixPath]) -> str:
    """The named layout that most files fit; plain folders if none fits a single one."""
    fits = {name: [p for p in paths if parse(p)] for name, parse in NAMED.items()}
    fits = {name: fitting for name, fitting in fits.items() if fitting}
    if not fits and any(LAYOUTS["plain"](path) for path in paths):
        return "plain"
    if not fits:
        raise ValueError(
            f"{folder}: no layout fits its {len(paths)} images, such as {paths[0]}: arrange them "
            f"as <identity>/<session>/<image>, or name one of {', '.join(LAYOUTS)} by --layout"
        )
    (best, fitting), *others = fits.items()
    if not others and 2 * len(fitting) > len(paths):
        return best
    candidates = "; ".join(f"{name} fits {len(f)}, such as {f[0]}" for name, f in fits.items())
    raise ValueError(
        f"{folder}: of its {len(paths)} images {candidates}: name the layout to take by --layout "
        f"({', '.join(fits)} or plain), or the folder of one database by --data"
    )


def _choose(
    folder: Path, paths: list[PurePosixPath], layout: str, bands: Sequence[int]
) -> tuple[dict[PurePosixPath, Name], dict[str, int]]:
    """The images to take with what their names say, and how many are left out and why."""
    known = {path: name for path in paths if (name := LAYOUTS[layout](path))}
    if not known:
        raise ValueError(
            f"{folder}: layout {layout} fits none of its {len(paths)} images, such as {paths[0]}:"
            " name another by --layout, or leave it to auto"
        )
    if layout == "plain" and len({name.session is None for name in known.values()}) > 1:
        shallow, deep = (next(p for p in known if len(p.parts) == depth) for depth in (2, 3))
        raise ValueError(
            f"{folder}: some images are in a session's folder ({deep}) and some are not "
            f"({shallow}): give every identity sessions, or none"
        )
    rois = layout != "plain" and any(_is_roi(path) for path in known)
    reasons = {
        path: name.left_out
        or (OTHER_BAND if name.band_nm not in (None, *bands) else None)
        or (NO_ROI if rois and not _is_roi(path) else None)
        for path, name in known.items()
    }
    taken = {path: name for path, name in known.items() if not reasons[path]}
    unknown = [UNKNOWN] * (len(paths) - len(known))
    left_out = dict(Counter([*filter(None, reasons.values()), *unknown]))
    if not taken:
        counts = ", ".join(f"{count} are {reason}" for reason, count in left_out.items())
        has = sorted({name.band_nm for name in known.values() if name.band_nm})
        hint = f": choose of --bands {','.join(map(str, has))}" if has else ""
        raise ValueError(f"{folder}: no image to take; {counts}{hint}")
    _refuse_doubles(folder, taken)
    return taken, left_out


def _is_roi(path: PurePosixPath) -> bool:
    return any(part.lower() == "roi" for part in path.parts[:-1])


def _refuse_doubles(folder: Path, taken: dict[PurePosixPath, Name]) -> None:
    """Two files of one shot are two processings of it: mixed, they would leak into the test."""
    seen: dict[Name, PurePosixPath] = {}
    for path, name in taken.items():
        if name.shot is not None and seen.setdefault(name, path) != path:
            raise ValueError(
                f"{folder}: {seen[name]} and {path} have the name of the same shot: name the "
                "folder of one kind of images by --data"
            )


def _number(named: dict[PurePosixPath, Name], classes: str) -> Iterator[IndexedImage]:
    """Images sorted by identity, session and path, shots numbered where names do not do it."""
    images = [
        IndexedImage(str(path), _identity(name, classes), name.session, name.hand, name.shot or 0)
        for path, name in named.items()
    ]

    def visit(image: IndexedImage) -> tuple[str, Order]:
        return image.identity, _natural(image.session or "")

    images.sort(key=lambda image: (visit(image), image.path))
    for _, group in groupby(images, visit):
        shots = list(group)
        if any(image.shot for image in shots):
            yield from shots
            continue
        order = sorted(shots, key=lambda image: _natural(image.path))
        numbers = {image: number for number, image in enumerate(order, 1)}
        yield from (replace(image, shot=numbers[image]) for image in shots)


def _identity(name: Name, classes: str) -> str:
    return name.person if classes == "person" or not name.hand else f"{name.person}-{name.hand}"


def _natural(text: str) -> Order:
    """A key that sorts s2 before s10, and tells s1 from s01."""
    runs = re.findall(r"\d+|\D+", text)
    return [(int(run), "") if run.isdecimal() else (-1, run) for run in runs], text
