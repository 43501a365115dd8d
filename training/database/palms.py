"""Palms: whose, of which session, which image. Decoded once, kept on disk, read when used."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.palm.decode import ImageLimits, PalmImageError, decode
from app.palm.roi import prepare
from training.database.image_files import ImageFile, default_scratch
from training.database.index import Index, index_database

READ_AHEAD = 256
"""Images in flight while decoding: 25 MiB of results at 224 px, however large the database is."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)  # no slots: configurations inherit this beside other bases
class ReadingOptions:
    """Which images, and how they are read; docs/databases.md explains each choice.

    Attributes:
        data: folder of the database.
        layout: auto, or one of `training.database.layouts.LAYOUTS`.
        classes: palm (a left and a right hand are two identities) or person.
        bands: wavelengths in nm to take where a database has several (CASIA).
        size_px: side to which every image is cropped and resized.
        scratch: folder for the decoded images, in an unnamed file that ends with the process.
    """

    data: Path
    layout: str = "auto"
    classes: str = "palm"
    bands: tuple[int, ...] = (850, 940)
    size_px: int = 224
    scratch: Path = field(default_factory=default_scratch)


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which images, and how they are split; docs/databases.md explains each choice.

    Attributes:
        split: auto, session, identity or seed.
        split_seed: of the splits that draw lots.
    """

    split: str = "auto"
    split_seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Palms:
    """Labelled images; selections share one store of pixels.

    Attributes:
        pixels: all the database's images, uint8 [M, H, W], grey.
        rows: int64 [N], which of them are meant.
        labels: int32 [N], index into `identities`.
        sessions: int32 [N], index into `session_names`; -1 where the database has none.
        hands: int8 [N], 0 left, 1 right, -1 where the database does not say.
        shots: int32 [N], number of the shot within its hand and session; images of one moment
            in several bands share it.
        identities: label names in order.
        session_names: names of the sessions in order.
        files: path of every image, relative to the database's folder.
        sha256: digest over every file's name and bytes: which database this was.
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
        """Number of images."""
        return len(self.labels)

    def images(self, which: slice | NDArray[np.integer] | None = None) -> Pixels:
        """Reads the images at those positions, by default all, as uint8 [n, H, W]."""
        return self.pixels[self.rows if which is None else self.rows[which]]

    def select(self, mask: NDArray[np.bool_]) -> "Palms":
        """The images where mask [N] is true; labels keep their meaning, no pixel is copied."""
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
        """The same images with only the identities that they show, labelled from 0."""
        present, labels = np.unique(self.labels, return_inverse=True)
        identities = tuple(self.identities[i] for i in present)
        return replace(self, labels=labels.astype(np.int32), identities=identities)


def load_palms(
    folder: Path,
    size_px: int = 224,
    *,
    layout: str = "auto",
    classes: str = "palm",
    bands: tuple[int, ...] = (850, 940),
    scratch: Path | None = None,
) -> Palms:
    """Decodes a database.

    Args:
        folder: the database.
        size_px: side to which every image is cropped and resized, as the service does it.
        layout: as in `ReadingOptions`, and so are classes, bands and scratch.
        classes: palm or person.
        bands: wavelengths in nm.
        scratch: by default `default_scratch()`.

    Returns:
        All images, sorted by identity, session and file name.

    Raises:
        FileNotFoundError: if the folder is missing or holds no images.
        ValueError: if no layout fits, there are fewer than two identities, or a image cannot be
            read; the line names it.
        OSError: if the decoded images find no room in scratch.
    """
    index = index_database(folder, layout=layout, classes=classes, bands=bands)
    tqdm.write(f"{folder}: {index}", file=sys.stderr)
    digest = sha256()

    def images() -> Iterator[Pixels]:
        for file, (image, raw) in zip(index.files, _decoded(folder, index, size_px), strict=True):
            digest.update(f"{file}\0{raw}\0".encode())
            yield image

    shape = (len(index.images), size_px, size_px)
    pixels = ImageFile.write(images(), shape, scratch or default_scratch())
    return label_images(index, pixels, digest.hexdigest())


def load_database(options: ReadingOptions) -> Palms:
    """`load_palms` with the options of a command."""
    return load_palms(
        options.data,
        options.size_px,
        layout=options.layout,
        classes=options.classes,
        bands=options.bands,
        scratch=options.scratch,
    )


def label_images(index: Index, pixels: ImageFile, digest: str) -> Palms:
    """Names become numbers: the images of an index with their labels, sessions and hands."""
    identities = index.identities
    sessions = index.session_names
    label = {name: i for i, name in enumerate(identities)}
    session = {name: i for i, name in enumerate(sessions)} | {None: -1}
    hand = {"L": 0, "R": 1, None: -1}
    return Palms(
        pixels=pixels,
        rows=np.arange(len(index.images)),
        labels=np.array([label[p.identity] for p in index.images], np.int32),
        sessions=np.array([session[p.session] for p in index.images], np.int32),
        hands=np.array([hand[p.hand] for p in index.images], np.int8),
        shots=np.array([p.shot for p in index.images], np.int32),
        identities=identities,
        session_names=sessions,
        files=index.files,
        sha256=digest,
    )


def _decoded(folder: Path, index: Index, size_px: int) -> Iterator[tuple[Pixels, str]]:
    """Every image and its file's SHA-256, in order, decoded on all cores."""
    files = index.files
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(files), desc=f"reading {folder}") as progress,
    ):
        for start in range(0, len(files), READ_AHEAD):
            window = files[start : start + READ_AHEAD]
            for content in pool.map(lambda file: read_image(folder, file, size_px), window):
                yield content
                progress.update()


def read_image(folder: Path, file: str, size_px: int) -> tuple[Pixels, str]:
    """One grey image [size_px, size_px] and the SHA-256 of its file."""
    try:
        data = (folder / file).read_bytes()
        pixels = decode(data, ImageLimits())
    except (PalmImageError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{folder / file}: {reason}. "
            f"`python -m training check --data {folder}` lists all such files"
        ) from error
    image = prepare(pixels, size_px)
    grey = image[..., 0] if pixels.ndim == 2 else image.mean(axis=2).round()
    return grey.astype(np.uint8), sha256(data).hexdigest()
