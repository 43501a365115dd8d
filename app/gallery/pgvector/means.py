"""Mean maps as bytes, as they are stored with the coarse maps that were computed with them."""

import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import numpy as np

from app.ensemble import Net
from app.gallery.index.cameras import Cameras
from app.gallery.index.means import Means
from app.matching.impostors import Impostors


def pack_means(cameras: Cameras) -> bytes:
    """Returns mean maps as bytes, for `unpack_means`."""
    maps = {
        f"map {i} {net}": one
        for i, means in enumerate(cameras.own.values())
        for net, one in enumerate(means.maps)
        if one is not None
    }
    rest = {
        "revision": cameras.revision,
        "own": [[camera, _describe(means)] for camera, means in cameras.own.items()],
        "across": [[*pair, _numbers(found)] for pair, found in cameras.across.items()],
    }
    file = BytesIO()
    header = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    np.savez(file, allow_pickle=False, header=header, **maps)
    return file.getvalue()


def unpack_means(stored: bytes, nets: Sequence[Net]) -> Cameras:
    """Returns the mean maps of some nets that `pack_means` packed."""
    with np.load(BytesIO(stored), allow_pickle=False) as read:
        rest = json.loads(read["header"].tobytes())
        own = {
            camera: Means(
                tuple(read.get(f"map {i} {net}") for net in range(len(nets))),
                impostors=_impostors(fields.pop("impostors")),
                fused_impostors=next(iter(_impostors(fields.pop("fused"))), None),
                **fields,
            )
            for i, (camera, fields) in enumerate(rest["own"])
        }
    across = {(one, other): _impostors(found) for one, other, found in rest["across"]}
    return Cameras(Means.none(nets), rest["revision"], own, across)


def _describe(means: Means) -> dict[str, Any]:
    """Returns all of a camera's mean maps but the maps."""
    fused = means.fused_impostors
    return {
        "subjects": means.subjects,
        "revision": means.revision,
        "considered": means.considered,
        "impostors": _numbers(means.impostors),
        "fused": _numbers([fused] if fused else []),
    }


def _numbers(found: Iterable[Impostors]) -> list[list[float]]:
    return [[one.mean, one.deviation] for one in found]


def _impostors(numbers: Iterable[list[float]]) -> tuple[Impostors, ...]:
    return tuple(Impostors(*one) for one in numbers)
