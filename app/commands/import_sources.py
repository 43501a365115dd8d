"""What people are imported from: a folder or a .zip, with a folder of images for each subject."""

import stat
import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.palm.limits import MIB

TABLE = "subjects.csv"
MAX_TABLE_BYTES = 32 * MIB
"""Far more than 100,000 lines take."""
MAX_ENTRIES = 1_000_000
"""Files and folders in an archive; each is looked at before the first is read."""

_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1  # a bit of an entry's flags


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a source.

    Attributes:
        folders: the names of the images of each subject, sorted.
        has_table: whether there is a `TABLE`.
        wrong: what is there and should not be, in words.
    """

    folders: Mapping[str, Sequence[str]]
    has_table: bool
    wrong: Sequence[str]


class Source(Protocol):
    """A folder or archive; every method may raise `OSError`, or `ValueError` for a damaged one."""

    def find(self) -> Found:
        """Looks for subjects and their images; opens no image."""
        ...

    def read(self, *path: str, most: int) -> bytes:
        """Returns at most `most` bytes of a file, given by the parts of its path."""
        ...


class FolderSource:
    """A folder on the disk."""

    def __init__(self, path: Path) -> None:
        """Takes the folder."""
        self._path = path

    def find(self) -> Found:
        """See `Source.find`. Links are refused: they may lead to other people's files."""
        paths: list[tuple[str, bool]] = []
        wrong: list[str] = []
        folders = [self._path, *(one for one in self._path.iterdir() if _is_own_folder(one))]
        for folder in folders:
            for one in folder.iterdir():
                name = one.relative_to(self._path).as_posix()
                if _is_hidden(one.name):
                    continue
                if one.is_symlink():
                    wrong.append(f"{name} is a link; put the file itself there")
                elif one.is_dir() or one.is_file():
                    paths.append((name, one.is_dir()))
                else:
                    wrong.append(f"{name} is no file")
        return _sort(paths, wrong)

    def read(self, *path: str, most: int) -> bytes:
        """See `Source.read`."""
        with self._path.joinpath(*path).open("rb") as file:
            return file.read(most)


class ZipSource:
    """A .zip archive; a file in it is unpacked in memory, as far as it is wanted."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Takes the opened archive."""
        self._archive = archive

    def find(self) -> Found:
        """See `Source.find`."""
        entries = self._archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ValueError(
                f"the archive has {len(entries)} entries, more than {MAX_ENTRIES}: split it"
            )
        wrong = [f"{one.filename!r:.200} {why}" for one in entries if (why := _refusal(one))]
        paths = [(one.filename.rstrip("/"), one.is_dir()) for one in entries if not _refusal(one)]
        if len({path for path, _ in paths}) < len(paths):
            wrong.append("two entries have the same name")
        return _sort(paths, wrong)

    def read(self, *path: str, most: int) -> bytes:
        """See `Source.read`."""
        try:
            with self._archive.open("/".join(path)) as file:
                return file.read(most)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f"the archive is damaged: {error}") from error


@contextmanager
def open_source(path: Path) -> Generator[Source]:
    """Opens a folder or an archive.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is neither.
    """
    if path.is_dir():
        yield FolderSource(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is neither a folder nor a .zip archive ({error}): give one"
        ) from error
    with archive:
        yield ZipSource(archive)


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not _is_hidden(path.name)


def _is_hidden(name: str) -> bool:
    """Tells whether a name is that of a file that programs leave, not people."""
    return name.startswith(".") or name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Returns why an entry of an archive is refused."""
    parts = entry.filename.rstrip("/").split("/")
    if "\\" in entry.filename or ":" in parts[0] or not all(parts) or {".", ".."} & {*parts}:
        return "leads out of the archive"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted; pack it without a password"
    if entry.compress_type not in _PACKED:
        return "is packed in a way that is not accepted; use Deflate"
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 unless a Unix program packed it
    return "is no file" if kind not in (0, stat.S_IFREG, stat.S_IFDIR) else None


def _sort(paths: Sequence[tuple[str, bool]], wrong: Sequence[str]) -> Found:
    """Sorts paths, with whether each is a folder, into subjects and images."""
    folders: dict[str, list[str]] = {}
    has_table, misplaced = False, list(wrong)
    for path, is_folder in sorted(paths):
        top, *rest = path.split("/")
        if any(_is_hidden(part) for part in (top, *rest)):
            continue
        if not rest and is_folder:
            folders.setdefault(top, [])
        elif not rest:
            has_table |= top == TABLE
            if top != TABLE:
                misplaced.append(f"{top} is in no subject's folder")
        elif len(rest) == 1 and not is_folder:
            folders.setdefault(top, []).append(rest[0])
        else:
            misplaced.append(f"{path} is a folder in a folder; put images into the subject's")
    return Found(folders, has_table, misplaced)
