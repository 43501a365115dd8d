"""Computes perceptual hashes of images, and searches for similar ones."""

import os
from hashlib import blake2b
from typing import NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from training.database.palms import Palms

Hashes = NDArray[np.uint64]
Pixels = NDArray[np.uint8]

HASH_SIDE = 16
"""Side of the hash from `imagehash.phash`, which has 16 x 16 = 256 bits. With the usual 64 bits, a
crop by 1 % changes as many bits as differ between two palms (docs/leakage.md)."""

BLOCK = 64

ON_ALL_CORES = {"max_workers": os.cpu_count(), "tqdm_class": tqdm, "leave": False}
"""Options of `thread_map`. Threads run in parallel: ImageHash and OpenCV release Python's lock."""


class Hashed(NamedTuple):
    """Hashes and digests of N images.

    Attributes:
        upright: perceptual hashes, uint64 [N, 4].
        mirrored: perceptual hashes of the mirrored images, uint64 [N, 4].
        digests: digest of each image's pixels.
    """

    upright: Hashes
    mirrored: Hashes
    digests: list[bytes]


def perceptual_hash(image: Pixels) -> Hashes:
    """Returns the 256-bit hash uint64 [4] of an image uint8 [H, W]."""
    bits = imagehash.phash(Image.fromarray(image), HASH_SIDE).hash
    return np.packbits(bits.ravel()).view(np.uint64)


def hash_palms(palms: Palms, name: str) -> Hashed:
    """Hashes all images on all cores; an image takes 0.6 ms.

    Args:
        palms: the images.
        name: name of the images in the progress bar.
    """

    def hash_image(position: int) -> tuple[Hashes, Hashes, bytes]:
        image = palms.images(np.array([position]))[0]
        mirrored = np.ascontiguousarray(image[:, ::-1])
        digest = blake2b(image.tobytes(), digest_size=16).digest()
        return perceptual_hash(image), perceptual_hash(mirrored), digest

    rows = thread_map(hash_image, range(len(palms)), desc=f"hashing {name}", **ON_ALL_CORES)
    upright, mirrored, digests = zip(*rows, strict=True)
    return Hashed(np.array(upright), np.array(mirrored), list(digests))


def nearest(
    probes: Hashes, templates: Hashes, max_bits: int, keep: int, label: str = "comparing hashes"
) -> NDArray[np.int64]:
    """Finds the templates near each probe by comparing all probes with all templates.

    36,000 probes and 64,000 templates take 15 s on one core. Blocks of probes save memory.

    Args:
        probes: uint64 [N, W].
        templates: uint64 [M, W].
        max_bits: largest Hamming distance.
        keep: number of nearest templates to return for each probe.
        label: text of the progress bar.

    Returns:
        int64 [K, 3]: probe, template and distance, sorted by probe and distance.
    """
    found = [np.empty((0, 3), np.int64)]
    for start in tqdm(range(0, len(probes), BLOCK), label, leave=False):
        block = _nearest_in_block(probes[start : start + BLOCK], templates, max_bits, keep)
        found.append(block + np.array([start, 0, 0]))
    return np.concatenate(found)


def _nearest_in_block(
    probes: Hashes, templates: Hashes, max_bits: int, keep: int
) -> NDArray[np.int64]:
    bits = np.zeros((len(probes), len(templates)), np.uint16)
    for word in range(probes.shape[1]):
        bits += np.bitwise_count(probes[:, None, word] ^ templates[None, :, word])
    rows, columns = np.nonzero(bits <= max_bits)
    distances = bits[rows, columns].astype(np.int64)
    order = np.lexsort((distances, rows))
    rows, columns, distances = rows[order], columns[order], distances[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return np.stack([rows, columns, distances], axis=1)[rank < keep]
