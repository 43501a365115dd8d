"""Chooses the precision in which OpenVINO computes the nets, by measuring it on this processor."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats
from app.nets.files import NetMissing, NetUnusable
from app.nets.precision_manifest import Measured, Precision

logger = logging.getLogger(__name__)

CACHE = "precision.json"
"""The file beside the gallery that keeps what was measured."""

ROUNDS = 15
"""Times that each precision computes one image; the least time counts, as in `timeit`."""

NATIVE: Mapping[str, str] = {"bf16": "BF16", "int8": "INT8"}
"""What OpenVINO calls a processor's native computation in a precision."""

PrecisionSetting = Literal["auto", "f32", "bf16", "int8"]


class Nets(Protocol):
    """Nets that run together."""

    def maps(self, images: NDArray[np.uint8]) -> list[tuple[Floats, Floats]]:
        """Maps uint8 [B, H, W, 3] to each net's maps and masks; thread-safe."""
        ...


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """How the precision is chosen.

    Attributes:
        wanted: a precision, or auto for the fastest that passed the gate.
        cache: the file that keeps what auto measured; None for none.
    """

    wanted: PrecisionSetting = "f32"
    cache: Path | None = None


F32 = PrecisionChoice()


def candidates(
    wanted: str, measured: Mapping[str, Measured] | None, native: frozenset[str], nets: str
) -> list[Precision]:
    """Returns the precisions that may serve, float32 first.

    Args:
        wanted: auto or a precision.
        measured: the gate's results by precision; None if these nets have none.
        native: what the processor computes natively; auto tries nothing else.
        nets: the nets, for messages.

    Raises:
        NetMissing: if the wanted precision was not measured with these nets.
    """
    if wanted == "f32":
        return ["f32"]
    if wanted == "auto":
        passed = [
            precision
            for precision, needed in NATIVE.items()
            if needed in native
            and measured
            and precision in measured
            and measured[precision].passed
        ]
        return cast(list[Precision], ["f32", *passed])
    if not measured or wanted not in measured:
        raise NetMissing(
            f"PALM_PRECISION={wanted}: the models store has no {wanted} of {nets}: run `python -m "
            "training quantize`, or set PALM_PRECISION=f32"
        )
    if not measured[wanted].passed:
        logger.warning("PALM_PRECISION=%s: %s did not pass the gate with it", wanted, nets)
    return [cast(Precision, wanted)]


def fastest(
    compiled: Mapping[Precision, Nets], image: NDArray[np.uint8]
) -> tuple[Precision, dict[str, float]]:
    """Returns the fastest precision, and the milliseconds of each.

    Args:
        compiled: the nets in each precision.
        image: uint8 [1, H, W, 3].
    """
    times: dict[Precision, list[float]] = {precision: [] for precision in compiled}
    for _ in range(ROUNDS):  # in turns, because other programs may take the processor meanwhile
        for precision, nets in compiled.items():
            start = time.perf_counter()
            nets.maps(image)
            times[precision].append((time.perf_counter() - start) * 1e3)
    least = {precision: round(min(found), 3) for precision, found in times.items()}
    return min(compiled, key=lambda precision: least[precision]), dict(least)


def remembered(
    cache: Path | None, key: Mapping[str, Any], among: Sequence[Precision]
) -> Precision | None:
    """Returns the precision that was the fastest of these under the same key, if it is known.

    A file that cannot be read, or is of another key, is as none: it is measured again.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):
        content: dict[str, Any] = json.loads(cache.read_bytes()) if cache else {}
        if content["key"] == key and content["fastest"] in among:
            return cast(Precision, content["fastest"])
    return None


def remember(
    cache: Path | None, key: Mapping[str, Any], fastest: Precision, ms: Mapping[str, float]
) -> None:
    """Writes the cache, whole or not at all; a folder that cannot be written is only logged."""
    if cache is None:
        return
    unfinished = cache.with_name(f".{cache.name}.{os.getpid()}")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({"key": key, "fastest": fastest, "ms": ms}, indent=1))
        unfinished.replace(cache)
    except OSError as error:
        logger.warning("%s cannot be written (%s): each start measures again", cache, error)


def choose(
    among: Sequence[Precision],
    compile_one: Callable[[Precision], Nets],
    image: NDArray[np.uint8],
    cache: Path | None,
    key: Mapping[str, Any],
) -> tuple[Precision, Nets]:
    """Compiles the fastest precision: the remembered one, or the one that is measured now.

    Args:
        among: the precisions that may serve, float32 first unless there is but one. If another
            one does not reproduce its recorded outputs, it is left out.
        compile_one: compiles and checks the nets in a precision.
        image: uint8 [1, H, W, 3].
        cache: see `PrecisionChoice`.
        key: what the measurement depends on; a change measures again.

    Raises:
        NetUnusable: if float32, or the only precision, cannot be run.
    """
    if len(among) == 1:
        return among[0], compile_one(among[0])
    if known := remembered(cache, key, among):
        with suppress(NetUnusable):  # what is wrong is found, and logged, below
            return known, compile_one(known)
    compiled: dict[Precision, Nets] = {"f32": compile_one("f32")}
    for one in among[1:]:
        try:
            compiled[one] = compile_one(one)
        except NetUnusable as error:
            logger.warning("auto does not use %s: %s", one, error)
    found, ms = fastest(compiled, image)
    logger.info("measured the nets' precisions", extra={"fields": {"ms": ms, "fastest": found}})
    remember(cache, key, found, ms)
    return found, compiled[found]
