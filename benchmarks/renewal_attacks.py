"""Attacks on renewable templates: linking two galleries, finding the key, drawing palms again."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import quadratic_assignment

Floats = NDArray[np.float64]
Int8s = NDArray[np.int8]
Ints = NDArray[np.int64]


def by_similarity(ours: Floats, theirs: Floats) -> Floats:
    """Returns the correlation of every two rows [N, P] and [M, P], as [N, M]."""
    first, second = (
        rows - rows.mean(axis=1, keepdims=True) for rows in (np.asarray(ours), np.asarray(theirs))
    )
    lengths = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    return first @ second.T / lengths


def by_magnitudes(ours: Floats, theirs: Floats) -> Floats:
    """Returns how alike the sorted magnitudes of every two rows are; no transform changes them."""
    first, second = (np.sort(abs(rows), axis=1) for rows in (ours, theirs))
    return -np.stack([abs(second - one).sum(axis=1) for one in first])


def by_profiles(ours: Floats, theirs: Floats) -> Floats:
    """Returns how alike two templates' similarities to their own galleries are, when sorted."""
    first, second = (
        _standard(np.sort(_edges(by_similarity(rows, rows)), axis=1), axis=0)
        for rows in (ours, theirs)
    )
    return -np.stack([np.linalg.norm(second - one, axis=1) for one in first])


def match_galleries(ours: Floats, theirs: Floats, known: int = 0) -> Ints:
    """Returns for each of our templates its match among theirs [N], by all similarities at once.

    It is the FAQ algorithm of J. T. Vogelstein et al., "Fast approximate quadratic programming for
    graph matching", PLOS ONE 10 (2015).

    Args:
        ours: [N, P], templates under one key.
        theirs: [N, P], templates of the same palms under another key.
        known: the attacker knows the first so many pairs.
    """
    first, second = (_centred_edges(by_similarity(rows, rows)) for rows in (ours, theirs))
    pairs = np.stack([np.arange(known)] * 2, axis=1)
    options = {"maximize": True, "partial_match": pairs, "rng": np.random.default_rng(1)}
    return quadratic_assignment(first, second, method="faq", options=options).col_ind


def undo_by_known(stolen: Int8s, plain: Int8s) -> tuple[Int8s, int]:
    """Undoes a transform as far as some known templates reveal it.

    A value of a transformed template is recognised if its magnitudes and relative signs in the
    known templates are no other value's.

    Args:
        stolen: int8 [N, P], transformed under one key.
        plain: int8 [K, P], the first K of them as they were before.

    Returns:
        int8 [N, P], 0 where a value is not recognised, and how many are recognised.
    """
    known = len(plain)
    ours, our_signs = _signatures(plain)
    theirs, their_signs = _signatures(stolen[:known])
    seen, counts = np.unique(np.array(ours), return_counts=True)
    unique = {one.tobytes() for one in seen[counts == 1]}
    places = {one.tobytes(): place for place, one in enumerate(ours)}
    found = np.zeros_like(stolen)
    recognised = [i for i, one in enumerate(theirs) if one.tobytes() in unique]
    for i in recognised:
        place = places[theirs[i].tobytes()]
        found[:, place] = stolen[:, i] * (their_signs[i] * our_signs[place])
    return found, len(recognised)


class Drawer:
    """Draws the image of a palm from its map, by a linear regression for each place.

    The pixels at a place are predicted from the values of 3 x 3 places around it.
    """

    def __init__(self, maps: Floats, images: Floats, strength: float = 100.0) -> None:
        """Learns from other palms.

        Args:
            maps: [N, S, S, C].
            images: [N, S * b, S * b], standardised.
            strength: of the ridge regression.
        """
        self._block = images.shape[1] // maps.shape[1]
        values = _around(maps)
        blocks = _blocks(images, self._block).reshape(len(values), -1)
        square = values.T @ values + strength * np.eye(values.shape[1])
        self._weights = np.linalg.solve(square, values.T @ blocks)

    def draw(self, maps: Floats) -> Floats:
        """Returns images [N, S * b, S * b] of maps [N, S, S, C]."""
        count, side = maps.shape[:2]
        blocks = (_around(maps) @ self._weights).reshape(
            count, side, side, self._block, self._block
        )
        return blocks.transpose(0, 1, 3, 2, 4).reshape(count, side * self._block, -1)


def _around(maps: Floats) -> Floats:
    """Returns the values at 3 x 3 places around each place, and a 1, as [N * S * S, 9 C + 1]."""
    side = maps.shape[1]
    wide = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [wide[:, i : i + side, j : j + side] for i in range(3) for j in range(3)]
    values = np.concatenate([*parts, np.ones((*maps.shape[:3], 1))], axis=3)
    return values.reshape(-1, values.shape[3])


def _blocks(images: Floats, block: int) -> Floats:
    count, side = len(images), images.shape[1] // block
    return images.reshape(count, side, block, side, block).transpose(0, 1, 3, 2, 4)


def _signatures(known: Int8s) -> tuple[NDArray[np.void], Int8s]:
    """Returns each value's magnitudes and relative signs in K templates, and its sign in them."""
    columns = np.ascontiguousarray(known.T)
    first = (columns != 0).argmax(axis=1)
    signs = np.where(columns[np.arange(len(columns)), first] < 0, -1, 1).astype(np.int8)
    turned = np.ascontiguousarray(columns * signs[:, None])
    return turned.view(f"V{len(known)}")[:, 0], signs


def _standard(rows: Floats, axis: int) -> Floats:
    deviations = rows.std(axis=axis, keepdims=True)
    return (rows - rows.mean(axis=axis, keepdims=True)) / np.maximum(deviations, 1e-9)


def _edges(square: Floats) -> Floats:
    return square[~np.eye(len(square), dtype=bool)].reshape(len(square), -1)


def _centred_edges(square: Floats) -> Floats:
    edges = _edges(square)
    found = (square - edges.mean()) / edges.std()
    np.fill_diagonal(found, 0)
    return found
