"""Palms: decoded images with their labels, sessions and hands."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.palm.capture import Capture
from app.palm.reader import PalmReader
from training.database.decoding import (
    DATABASE_LIMITS,
    Decoded,
    Pixels,
    Unreadable,
    decode_files,
)
from training.database.image_files import ImageFile, default_scratch
from training.database.index import Classes, Index, IndexedImage, index_database
from training.database.layouts import Layout

SplitKind = Literal["auto", "session", "identity", "seed"]


@dataclass(frozen=True, kw_only=True)  # no slots: configurations inherit from several bases
class ReadingOptions:
    """How a database is read.

    Attributes:
        data: folder of the database (docs/databases.md).
        layout: how folders and files are named; auto detects it.
        classes: what an identity is: palm (a left and a right hand are two) or person.
        bands: wavelengths in nm to use if the database has several (CASIA).
        size_px: side in pixels to which every image is cropped and resized.
        roi: where the palm lies in an image: given, in the largest centred square, as in databases
            of regions of interest; or auto, where the finder finds it, for photographs of hands.
            Images in which it finds no palm are left out.
        finder: the models store whose finder is used with --roi auto.
        scratch: folder of the temporary file for decoded images; by default $TMPDIR if set, else
            /var/tmp.
    """

    data: Path
    layout: Layout = "auto"
    classes: Classes = "palm"
    bands: tuple[int, ...] = (850, 940)
    size_px: int = 224
    roi: Literal["given", "auto"] = "given"
    finder: Path = Path("models_store")
    scratch: Path = field(default_factory=default_scratch)


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """How a database is read and split.

    Attributes:
        split: what separates the parts: session, identity, or only the image (seed); auto is
            session if the database has two or more, else seed.
        split_seed: seed of the random sampling in a split.
    """

    split: SplitKind = "auto"
    split_seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Palms:
    """Labelled images; selections share one store of pixels.

    Attributes:
        pixels: all the database's images, uint8 [M, H, W], grey.
        rows: int64 [N], row of each image in `pixels`.
        labels: int32 [N], index into `identities`.
        sessions: int32 [N], index into `session_names`; -1 if the database has none.
        hands: int8 [N], 0 left, 1 right, -1 if the database does not say.
        shots: int32 [N], number of the shot within its hand and session; the images of one shot in
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
        """Reads the images at the positions `which`, by default all, as uint8 [n, H, W]."""
        return self.pixels[self.rows if which is None else self.rows[which]]

    def select(self, mask: NDArray[np.bool_]) -> "Palms":
        """Returns the images where `mask` [N] is true, with the same labels and shared pixels."""
        kept = np.flatnonzero(mask)
        arrays = ("rows", "labels", "sessions", "hands", "shots")
        chosen = {name: getattr(self, name)[kept] for name in arrays}
        return replace(self, **chosen, files=tuple(self.files[i] for i in kept))

    def relabelled(self) -> "Palms":
        """Returns the same images without identities that have no image; labels count from 0."""
        present, labels = np.unique(self.labels, return_inverse=True)
        identities = tuple(self.identities[i] for i in present)
        return replace(self, labels=labels.astype(np.int32), identities=identities)


@dataclass(frozen=True, slots=True)
class Scan:
    """The images read from a database, and the files that could not be read.

    Attributes:
        palms: the readable images; the digest covers only these.
        kinds: number of readable images for each size and mode, such as "800x600 RGB".
        captures: number of readable images by how they were captured: "hand" or "roi".
        unreadable: for each path, the reason.
        without_palm: for each path of an intact image in which no palm is found, the reason.
    """

    palms: Palms
    kinds: Counter[str]
    captures: Counter[Capture]
    unreadable: dict[str, str]
    without_palm: dict[str, str]


def load_palms(folder: Path, size_px: int = 224, *, scratch: Path | None = None) -> Palms:
    """Reads a database as `load_database` does, with the defaults of `ReadingOptions`."""
    chosen = scratch or default_scratch()
    return load_database(ReadingOptions(data=folder, size_px=size_px, scratch=chosen))


def load_database(options: ReadingOptions) -> Palms:
    """Reads a database and prints its index.

    Returns:
        All images, sorted by identity, session and file name.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: see `index_database`; or if an image cannot be read, which the message names.
        OSError: if the decoded images do not fit into scratch.
    """
    index = index_with(options)
    tqdm.write(f"{options.data}: {index}", file=sys.stderr)
    return scan_database(index, options, strict=True).palms


def index_with(options: ReadingOptions) -> Index:
    """Returns the index of the database that a command's options name."""
    return index_database(
        options.data, layout=options.layout, classes=options.classes, bands=options.bands
    )


def scan_database(index: Index, options: ReadingOptions, *, strict: bool = False) -> Scan:
    """Reads every image of an index.

    Args:
        index: the images to read.
        options: how to read them.
        strict: raise at the first image that cannot be read.

    Raises:
        ValueError: if `strict` and an image cannot be read, or if none can be read.
        OSError: if the decoded images do not fit into scratch.
    """
    folder, size_px = options.data, options.size_px
    shape = (len(index.images), size_px, size_px)
    kinds: Counter[str] = Counter()
    captures: Counter[Capture] = Counter()
    unreadable: dict[str, str] = {}
    without_palm: dict[str, str] = {}
    readable: list[IndexedImage] = []
    digest = sha256()

    def images(contents: Iterator[Decoded | Unreadable]) -> Iterator[Pixels]:
        for image, content in zip(index.images, contents, strict=True):
            if isinstance(content, Decoded):
                digest.update(f"{image.path}\0{content.sha256}\0".encode())
                kinds[content.kind] += 1
                captures[content.capture] += 1
                readable.append(image)
                yield content.pixels
            elif content.without_palm:
                without_palm[image.path] = content.reason
            elif strict:
                raise ValueError(
                    f"{folder / image.path}: {content.reason}. "
                    f"`python -m training check --data {folder}` lists all such files"
                )
            else:
                unreadable[image.path] = content.reason

    reader = None
    if options.roi == "auto":  # the finder decides on the pixels, so it is a part of the database
        reader, finder_sha256 = _open_reader(options)
        digest.update(finder_sha256.encode())
    with decode_files(folder, index.files, size_px, reader) as contents:
        pixels = ImageFile.write(images(contents), shape, options.scratch)
    if not readable:
        path, reason = next(iter((unreadable | without_palm).items()))
        raise ValueError(
            f"{folder}: none of the {len(index.images)} images can be used, such as {path}: "
            f"{reason}"
        )
    if without_palm:
        tqdm.write(
            f"{folder}: {len(without_palm)} of {len(index.images)} images are left out, because no "
            f"palm is found in them, such as {next(iter(without_palm))}",
            file=sys.stderr,
        )
    palms = label_images(replace(index, images=tuple(readable)), pixels, digest.hexdigest())
    return Scan(palms, kinds, captures, unreadable, without_palm)


def _open_reader(options: ReadingOptions) -> tuple[PalmReader, str]:
    """Opens the finder; returns a reader, and the digest of the finder's manifest."""
    # Imported here, because it loads TensorFlow, which other commands need later or not at all.
    from training.versions.finder import read_finder

    finder, sha256 = read_finder(options.finder)
    return PalmReader(finder, limits=DATABASE_LIMITS, mode="auto"), sha256


def label_images(index: Index, pixels: ImageFile, digest: str) -> Palms:
    """Returns the images of an index with numbered identities, sessions and hands.

    Args:
        index: the images.
        pixels: their pixels, uint8 [M, H, W], in the same order.
        digest: digest of the database.
    """
    images, identities, sessions = index.images, index.identities, index.session_names
    label = {name: i for i, name in enumerate(identities)}
    session = {name: i for i, name in enumerate(sessions)} | {None: -1}
    hand = {"L": 0, "R": 1, None: -1}
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
