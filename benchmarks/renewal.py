"""Measures what renewable templates reveal: linkage of two galleries, and drawing palms again.

    python -m benchmarks.renewal [--net vgg19] [--palms 200] [--own 300] [--json PATH]

Palms of a style that training never draws are enrolled in two galleries under different template
keys, in each from another session. The attacker has both galleries decrypted, without the template
keys except where a row says so, and other palms of his own. With 200 palms it takes about a minute
of one core.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.gallery.encryption.template_keys import TemplateKey
from app.matching.intervals import wilson_interval
from app.matching.maps import SCALE_BYTES, Signs, VeinMaps
from app.matching.mean_map import MapSum
from app.matching.similarity import encode, probe_codes, similarities
from app.nets.manifest import highest_version
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.renewal_attacks import (
    Drawer,
    Floats,
    by_magnitudes,
    by_profiles,
    by_similarity,
    match_galleries,
    undo_by_known,
)
from training.database.palms import Palms
from training.metrics.rates import equal_error_rate
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.compare import compare_maps
from training.versions.read import Version

STYLE = "polarized"
SEED = 900
KEYS = (
    TemplateKey(b"one key of 32 bytes.............."),
    TemplateKey(b"another key of 32 bytes......."),
)
KNOWN = 20
DRAWN_PX = 112  # 4 x 4 pixels for each place of a map

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what renewable templates reveal.")
    parser.add_argument("--models", type=Path, default=Path("models_store"))
    parser.add_argument("--net", default="vgg19")
    parser.add_argument("--palms", type=int, default=200, help="palms in both galleries")
    parser.add_argument("--own", type=int, default=300, help="other palms, which the attacker has")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine, start = describe_machine(), time.process_time()
    net = Version.open(highest_version(options.models, options.net))
    drawn = _draw(options.palms, SEED, 2, net)
    own = _draw(options.own, SEED + 1, 1, net)
    ours, theirs = (drawn.select(drawn.sessions == session) for session in (0, 1))
    maps = net.maps(ours), net.maps(theirs)
    report = {
        "machine": machine,
        "net": str(net.key),
        "palms": options.palms,
        "own": options.own,
        "linkage": measure_linkage(*maps),
        "drawing": measure_drawing(net, ours, maps, own),
        "search": measure_search(maps[0]),
        "core_s": round(time.process_time() - start),
    }
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def _draw(palms: int, seed: int, sessions: int, net: Version) -> Palms:
    side_px = net.input_px
    style = STYLES[STYLE]
    return draw_strangers(
        palms, seed, style, sessions=sessions, shots=1, side_px=side_px, cameras=1
    )


def measure_linkage(first: VeinMaps, second: VeinMaps) -> list[Row]:
    """Returns a row for each attack on the templates of the same palms in two galleries."""
    means = [_mean(maps) for maps in (first, second)]
    plain = [_heads(maps, None) for maps in (first, second)]
    stored = [_heads(maps, key) for maps, key in zip((first, second), KEYS, strict=True)]
    bits = [
        _transformed_bits(maps, mean, key)
        for maps, mean, key in zip((first, second), means, KEYS, strict=True)
    ]
    scales = [maps.scales[:, :2] / maps.scales[:, :2].std(axis=0) for maps in (first, second)]
    undone = compare_maps(first, second, means[0], "key known")
    rows = [
        _row("nothing transformed", "int8", by_similarity(*plain)),
        _row("similarity", "int8", by_similarity(*stored)),
        _row("similarity", "coarse bits", by_similarity(*bits)),
        _row("sorted magnitudes", "int8", by_magnitudes(*stored)),
        _row("the scales, if they were stored as they are", "scales", by_magnitudes(*scales)),
        _row("whole gallery: sorted similarities", "int8", by_profiles(*stored)),
        _row("whole gallery: sorted similarities", "coarse bits", by_profiles(*bits)),
    ]
    for known in (0, KNOWN):
        for what, both in (("int8", stored), ("coarse bits", bits)):
            matched = match_galleries(both[0], both[1], known)
            rows.append(
                _hits(
                    f"whole gallery: graph matching, {known} palms known",
                    what,
                    matched[known:],
                    known,
                )
            )
    return [*rows, _row("both keys known", "int8", undone)]


def _mean(maps: VeinMaps) -> NDArray[np.float32] | None:
    return reduce(add, [MapSum.of(maps[i : i + 1]) for i in range(len(maps))]).mean()


def _heads(maps: VeinMaps, key: TemplateKey | None) -> Floats:
    """Returns the stored bytes of maps, without the scales, which a key stream hides."""
    stored = maps.to_bytes()
    if key is not None:
        stored = [key.apply(one, "net", "0", number) for number, one in enumerate(stored)]
    return np.stack([np.frombuffer(one[:-SCALE_BYTES], np.int8) for one in stored]).astype(float)


def _transformed_bits(maps: VeinMaps, mean: NDArray[np.float32] | None, key: TemplateKey) -> Floats:
    """Returns the bits of coarse maps as a database would compare them."""
    bits = Signs.coarse(maps, mean).positive.reshape(len(maps), -1)
    return key.transform(bits.shape[1], "bits").apply_bits(bits).astype(float)


def _row(attack: str, what: str, similar: NDArray[np.floating]) -> Row:
    """Returns the rates at which equal row and column numbers are found."""
    palms = len(similar)
    genuine, others = np.diag(similar), similar[~np.eye(palms, dtype=bool)]
    rng = np.random.default_rng(1)
    curves = [_area(similar, rng.integers(palms, size=palms)) for _ in range(200)]
    return {
        **_hits(attack, what, similar.argmax(axis=1), 0),
        "eer": equal_error_rate(genuine, [others]),
        "auc": _area(similar, np.arange(palms)),
        "auc_interval": np.quantile(curves, (0.025, 0.975)).tolist(),
    }


def _area(similar: NDArray[np.floating], palms: NDArray[np.int64]) -> float:
    """Returns the area under the ROC curve among some palms, which may be repeated."""
    some = similar[np.ix_(palms, palms)]
    same = palms[:, None] == palms
    genuine, others = np.diag(some), np.sort(some[~same])
    below = np.searchsorted(others, genuine) + np.searchsorted(others, genuine, "right")
    return float(below.mean() / 2 / len(others))


def _hits(attack: str, what: str, matched: NDArray[np.int64], first: int) -> Row:
    hits = int((matched == np.arange(first, first + len(matched))).sum())
    interval = wilson_interval(hits, len(matched))
    return {
        "attack": attack,
        "of": what,
        "hits": hits,
        "of_palms": len(matched),
        "interval": interval,
    }


def measure_drawing(
    net: Version, ours: Palms, maps: tuple[VeinMaps, VeinMaps], own: Palms
) -> list[Row]:
    """Returns how well palms are drawn from plain and transformed templates, by own palms."""
    drawer = Drawer(net.maps(own).deviations.astype(float), _small(own.images()))
    first, second = maps
    values = first.values.reshape(len(first), -1)
    transform = KEYS[0].transform(values.shape[1], "values")
    stolen = transform.apply(values)
    cases = [("not transformed", values, 0), ("transformed", stolen, 0)]
    for known in (1, 2, 4):
        undone, recognised = undo_by_known(stolen, values[:known])
        name = f"transformed, templates known: {known}, values found: {recognised}"
        cases.append((name, undone, known))
    true = _small(ours.images())
    rows: list[Row] = []
    for name, some, known in cases:
        shaped = VeinMaps(some.reshape(first.values.shape), first.usable)
        drawn = drawer.draw(shaped.deviations.astype(float))
        flat = [images[known:].reshape(len(images) - known, -1) for images in (drawn, true)]
        similar = by_similarity(*flat)
        row = _row(name, "image", similar)
        row["correlation"] = float(np.diag(similar).mean())
        row["with_others"] = float(similar[~np.eye(len(similar), dtype=bool)].mean())
        probes = net.maps(
            replace(ours, pixels=_enlarge(drawn, net.input_px), rows=np.arange(len(ours)))
        )
        scores = compare_maps(probes[known:], second[known:], _mean(second), name)
        row["by_net"] = _row(name, "net", scores)
        rows.append(row)
    return rows


def _small(images: NDArray[np.uint8]) -> Floats:
    """Returns images at `DRAWN_PX`, each with mean 0 and deviation 1."""
    size = (DRAWN_PX, DRAWN_PX)
    small = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in images])
    centred = small - small.mean(axis=(1, 2), keepdims=True)
    return centred / centred.std(axis=(1, 2), keepdims=True)


def _enlarge(images: Floats, side_px: int) -> NDArray[np.uint8]:
    size = (side_px, side_px)
    grey = np.clip(110 + 35 * images / images.std(axis=(1, 2), keepdims=True), 0, 255)
    return np.stack([cv2.resize(one.astype(np.uint8), size) for one in grey])


def measure_search(maps: VeinMaps) -> dict[str, float]:
    """Returns the ms of a search among 3,000 templates, and of transforming the probe for it."""
    templates = encode(maps[np.arange(3000) % len(maps)], None)
    windows = probe_codes(Signs.of(maps[:1]))
    transform = KEYS[0].transform(windows.bits.shape[1] * 8, "windows")
    unpacked = np.unpackbits(windows.bits, axis=1).view(bool)
    return {
        "search": _ms(lambda: similarities(windows, templates, maps.shape)),
        "transform": _ms(lambda: np.packbits(transform.apply_bits(unpacked), axis=1)),
    }


def _ms(work: Any) -> float:
    times: list[float] = []
    for _ in range(50):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return round(float(np.median(times)) * 1e3, 2)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as tables."""
    lines = [
        f"{report['net']}; {report['palms']} palms in both galleries, {report['own']} of the "
        f"attacker's; {report['core_s']} s of one core; {as_sentence(report['machine'])}.",
        "",
        "| linkage by | of | rank-1 | 95 % | AUC | 95 % | EER |",
        "|---|---|---|---|---|---|---|",
        *(f"| {row['attack']} | {row['of']} | {_rates(row)} |" for row in report["linkage"]),
        "",
        "| drawn from | correlation with the palm | with others | rank-1 of the image | 95 % "
        "| rank-1 by the net, other session | 95 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["drawing"]:
        ranks = [" | ".join(_rates(one).split(" | ")[:2]) for one in (row, row["by_net"])]
        correlations = f"{row['correlation']:.3f} | {row['with_others']:.3f}"
        lines.append(f"| {row['attack']} | {correlations} | {ranks[0]} | {ranks[1]} |")
    search = report["search"]
    lines += [
        "",
        f"One net, 3,000 templates: a search takes {search['search']} ms; to transform "
        f"the probe's windows for it, {search['transform']} ms more.",
    ]
    return "\n".join(lines)


def _rates(row: Row) -> str:
    low, high = row["interval"]
    rank = f"{row['hits']} of {row['of_palms']} | {low:.1%} to {high:.1%}"
    if "auc" not in row:
        return f"{rank} | | |"
    low, high = row["auc_interval"]
    return f"{rank} | {row['auc']:.3f} | {low:.3f} to {high:.3f} | {row['eer']:.1%}"


if __name__ == "__main__":
    main()
