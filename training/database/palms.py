"""Palms: decoded images with their labels, sessions and hands."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.database.decoding import Pixels, Unreadable, decode_files
from training.database.image_files import ImageFile, default_scratch
from training.database.index import Classes, Index, index_database
from training.database.layouts import Layout

SplitKind = Literal["auto", "session", "identity", "seed"]


@dataclass(frozen=True, kw_only=True)  # no slots: configurations inherit this beside other bases
class ReadingOptions:
    """How a database is read.

    Attributes:
        data: folder of the database (docs/databases.md).
        layout: how folders and files are named; auto finds out.
        classes: what an identity is: palm (a left and a right hand are two) or person.
        bands: wavelengths in nm to use if the database has several (CASIA).
        size_px: side in pixels to which every image is cropped and resized.
        scratch: folder for the decoded images, which go to an unnamed file that ends with the
            process ($TMPDIR if set, else /var/tmp).
    """

    data: Path
    layout: Layout = "auto"
    classes: Classes = "palm"
    bands: tuple[int, ...] = (850, 940)
    size_px: int = 224
    scratch: Path = field(default_factory=default_scratch)


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """How a database is read and split.

    Attributes:
        split: what the parts differ in: session, identity, or the image alone (seed); auto takes
            session if there are two or more, else seed.
        split_seed: seed of the random sampling by which a database is split.
    """

    split: SplitKind = "auto"
    split_seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Palms:
    """Labelled images; selections share one store of pixels.

    Attributes:
        pixels: all the database's images, uint8 [M, H, W], grey.
        rows: int64 [N], numbers of these images in `pixels`.
        labels: int32 [N], index into `identities`.
        sessions: int32 [N], index into `session_names`; -1 if the database has none.
        hands: int8 [N], 0 left, 1 right, -1 if the database does not say.
        shots: int32 [N], number of the shot within its hand and session; images taken at once in
            several bands share it.
        identities: label names in order.
        session_names: names of the sessions in order.
        files: path of every image, relative to the database's folder.
        sha256: digest over every file's path and bytes; identifies the database.
    """

    pixels: ImageFile | Pixels
    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    sessions: NDArray[np.int32]
    hands: NDArray[np.int8]
    shots: NDArray[np.int32]
    identities: tuple[str, ...]
    session_names: tuple[str, ...]
    files: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    def images(self, which: slice | NDArray[np.integer] | None = None) -> Pixels:
        """Reads the images at those positions, by default all, as uint8 [n, H, W]."""
        return self.pixels[self.rows if which is None else self.rows[which]]

    def select(self, mask: NDArray[np.bool_]) -> "Palms":
        """Returns the images where mask [N] is true; labels stay valid, pixels are shared."""
        kept = np.flatnonzero(mask)
        return replace(
            self,
            rows=self.rows[kept],
            labels=self.labels[kept],
            sessions=self.sessions[kept],
            hands=self.hands[kept],
            shots=self.shots[kept],
            files=tuple(self.files[i] for i in kept),
        )

    def relabelled(self) -> "Palms":
        """Returns the same images with only the identities that they show, labelled from 0."""
        present, labels = np.unique(self.labels, return_inverse=True)
        identities = tuple(self.identities[i] for i in present)
        return replace(self, labels=labels.astype(np.int32), identities=identities)


def load_palms(
    folder: Path,
    size_px: int = 224,
    *,
    layout: Layout = "auto",
    classes: Classes = "palm",
    bands: tuple[int, ...] = (850, 940),
    scratch: Path | None = None,
) -> Palms:
    """Reads a database and prints what it found.

    Args:
        folder: the database.
        size_px: side to which every image is cropped and resized, as the service does.
        layout: as in `ReadingOptions`, like classes, bands and scratch.
        classes: palm or person.
        bands: wavelengths in nm.
        scratch: `default_scratch()` by default.

    Returns:
        All images, sorted by identity, session and file name.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: as of `index_database`, or if an image cannot be read; the message names it.
        OSError: if the decoded images do not fit into scratch.
    """
    index = index_database(folder, layout=layout, classes=classes, bands=bands)
    tqdm.write(f"{folder}: {index}", file=sys.stderr)
    contents = decode_files(folder, index.files, size_px)
    digest = sha256()

    def images() -> Iterator[Pixels]:
        for file, content in zip(index.files, contents, strict=True):
            if isinstance(content, Unreadable):
                raise ValueError(
                    f"{folder / file}: {content.reason}. "
                    f"`python -m training check --data {folder}` lists all such files"
                )
            digest.update(f"{file}\0{content.sha256}\0".encode())
            yield content.pixels

    shape = (len(index.images), size_px, size_px)
    pixels = ImageFile.write(images(), shape, scratch or default_scratch())
    return label_images(index, pixels, digest.hexdigest())


def load_database(options: ReadingOptions) -> Palms:
    """Reads a database with the options of a command, as `load_palms` does."""
    return load_palms(
        options.data,
        options.size_px,
        layout=options.layout,
        classes=options.classes,
        bands=options.bands,
        scratch=options.scratch,
    )


def label_images(index: Index, pixels: ImageFile, digest: str) -> Palms:
    """Numbers the identities, sessions and hands of an index, whose images `pixels` holds."""
    identities = index.identities
    sessions = index.session_names
    label = {name: i for i, name in enumerate(identities)}
    session = {name: i for i, name in enumerate(sessions)} | {None: -1}
    hand = {"L": 0, "R": 1, None: -1}
    images = index.images
    return Palms(
        pixels=pixels,
        rows=np.arange(len(images)),
        labels=np.array([label[image.identity] for image in images], np.int32),
        sessions=np.array([session[image.session] for image in images], np.int32),
        hands=np.array([hand[image.hand] for image in images], np.int8),
        shots=np.array([image.shot for image in images], np.int32),
        identities=identities,
        session_names=sessions,
        files=index.files,
        sha256=digest,
    )
