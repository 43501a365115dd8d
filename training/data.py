"""A folder of palms in memory: who, which session, which picture; and how it is split."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.palm.decode import ImageLimits, decode
from app.palm.roi import prepare
from training.augmentation import augment

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Palms:
    """Labelled pictures.

    Attributes:
        images: uint8 [N, H, W], grey.
        labels: int32 [N], index into `identities`.
        sessions: int32 [N], index into `session_names`.
        identities: label names in order.
        session_names: names of the session folders in order.
        files: path of every picture, relative to the database's folder.
        sha256: digest over every file's name and bytes: which database this was.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    sessions: NDArray[np.int32]
    identities: tuple[str, ...]
    session_names: tuple[str, ...]
    files: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def select(self, mask: NDArray[np.bool_]) -> "Palms":
        """The pictures where mask [N] is true; labels keep their meaning."""
        kept = np.flatnonzero(mask)
        return Palms(
            self.images[kept],
            self.labels[kept],
            self.sessions[kept],
            self.identities,
            self.session_names,
            tuple(self.files[i] for i in kept),
            self.sha256,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Training, validation and test pictures: the same palms, no session in common."""

    train: Palms
    validation: Palms
    test: Palms


def load_palms(folder: Path, size_px: int = 224) -> Palms:
    """Reads `<folder>/<identity>/<session>/<picture>` into memory.

    Args:
        folder: the database.
        size_px: side to which every picture is cropped and resized, as the service does it.

    Returns:
        All pictures, sorted by identity, session and file name.

    Raises:
        FileNotFoundError: if the folder is missing or holds no pictures in that layout.
        app.palm.decode.PalmImageError: if a picture cannot be read; a note names it.
    """
    paths = sorted(p for p in folder.glob("*/*/*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise FileNotFoundError(f"{folder}: no pictures at <identity>/<session>/<picture> in it")
    images = np.empty((len(paths), size_px, size_px), np.uint8)
    digest = sha256()
    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda path: _read(path, size_px), paths)
        for i, (image, raw) in enumerate(tqdm(contents, f"reading {folder}", len(paths))):
            images[i] = image
            digest.update(f"{paths[i].relative_to(folder)}\0{raw}\0".encode())
    identities, labels = np.unique([p.parts[-3] for p in paths], return_inverse=True)
    session_names, sessions = np.unique([p.parts[-2] for p in paths], return_inverse=True)
    return Palms(
        images,
        labels.astype(np.int32),
        sessions.astype(np.int32),
        tuple(identities.tolist()),
        tuple(session_names.tolist()),
        tuple(str(p.relative_to(folder)) for p in paths),
        digest.hexdigest(),
    )


def _read(path: Path, size_px: int) -> tuple[NDArray[np.uint8], str]:
    """One grey picture [size_px, size_px] and the SHA-256 of its file."""
    data = path.read_bytes()
    try:
        picture = prepare(decode(data, ImageLimits()), size_px)
    except Exception as error:
        error.add_note(f"while reading {path}")
        raise
    return picture.mean(axis=2).round().astype(np.uint8), sha256(data).hexdigest()


def split_by_session(palms: Palms) -> Split:
    """The last session is the test, the one before it the validation, the rest is for training.

    Raises:
        ValueError: if there are fewer than three sessions, or an identity lacks one of the parts.
    """
    count = len(palms.session_names)
    if count < 3:
        raise ValueError(
            f"a split by session needs at least 3 sessions, and this database has {count} "
            f"({', '.join(palms.session_names)})"
        )
    parts = Split(
        palms.select(palms.sessions < count - 2),
        palms.select(palms.sessions == count - 2),
        palms.select(palms.sessions == count - 1),
    )
    for name, part in (("train", parts.train), ("validation", parts.validation)):
        missing = set(range(len(palms.identities))) - set(part.labels.tolist())
        if missing:
            some = ", ".join(palms.identities[i] for i in sorted(missing)[:5])
            raise ValueError(f"{len(missing)} identities have no {name} session: {some}")
    return parts


def split_strangers(strangers: Palms) -> tuple[Palms, Palms]:
    """Halves by identity, validation first: a threshold is chosen on one, judged on the other."""
    half = len(strangers.identities) // 2
    return strangers.select(strangers.labels < half), strangers.select(strangers.labels >= half)


class Batches(keras.utils.PyDataset):
    """Shuffled, augmented training batches; every epoch sees every picture once, anew."""

    def __init__(self, palms: Palms, batch_size: int, seed: int) -> None:
        """Creates the batches; equal seeds give equal batches."""
        super().__init__(workers=1, max_queue_size=8)
        self._palms = palms
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0
        self.on_epoch_end()

    def __len__(self) -> int:
        """Batches in an epoch; a rest smaller than a batch waits for the next epoch."""
        return max(len(self._palms) // self._batch_size, 1)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Images uint8 [B, H, W, 3] and labels int32 [B] of one batch."""
        chosen = self._order[index * self._batch_size :][: self._batch_size]
        rng = np.random.default_rng([self._seed, self._epoch, index, 1])
        images = np.stack([augment(self._palms.images[i], rng) for i in chosen])
        return as_colour(images), self._palms.labels[chosen]

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._epoch += 1
        self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._palms))


def as_colour(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey [N, H, W] as the nets take it, [N, H, W, 3]; a view, not a copy."""
    return np.broadcast_to(images[..., None], (*images.shape, 3))


def in_batches(palms: Palms, batch_size: int) -> Sequence[NDArray[np.uint8]]:
    """All pictures in order, in pieces of uint8 [<= batch_size, H, W, 3]."""
    return [
        as_colour(palms.images[start : start + batch_size])
        for start in range(0, len(palms), batch_size)
    ]
