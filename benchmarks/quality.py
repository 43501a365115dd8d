"""Measures at which value of each component of the quality errors double.

    python -m benchmarks.quality [--net vgg19] [--palms 200] [--json PATH]

Palms of two styles that training never draws are spoilt in one way, more and more. Three rates show
what it costs, each at the threshold that gives FMR 1e-3 with good images: the FNMR of spoilt probes
against good templates, their FMR, and the FMR of spoilt probes against spoilt templates. The mean
map is that of the good templates. `app.palm.quality.CROP_SCALES` holds what was read off.
"""

import argparse
import json
from collections.abc import Callable
from functools import reduce
from io import BytesIO
from operator import add
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from app.matching.mean_map import MapSum
from app.matching.templates import NetKey
from app.nets.manifest import highest_version
from app.palm.hand import Region
from app.palm.quality import CROP_SCALES, assess
from app.palm.square import whole_square
from benchmarks.machine import as_sentence, describe_machine
from training.database.palms import Palms
from training.report.files import write_text
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import STYLES
from training.versions.compare import compare_maps
from training.versions.read import Version

JUDGING = ("polarized", "held-out")
FMR = 1e-3
SEED = 700

Pixels = NDArray[np.uint8]
Fault = Callable[[Pixels, float], Pixels]


def blur(image: Pixels, sigma_px: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def enlarge(image: Pixels, side_px: float) -> Pixels:
    size = (int(side_px), int(side_px))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize(image.shape[::-1], Image.Resampling.BICUBIC))


def compress(image: Pixels, quality: float) -> Pixels:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def darken(image: Pixels, gain: float) -> Pixels:
    return np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def overexpose(image: Pixels, white: float) -> Pixels:
    """Brightens until a share of the pixels is white."""
    return darken(image, 255 / max(float(np.quantile(image, 1 - white)), 1.0))


def flatten(image: Pixels, contrast: float) -> Pixels:
    middle = image.mean()
    return np.clip(np.rint(middle + (image - middle) * contrast), 0, 255).astype(np.uint8)


def cut_off(image: Pixels, share: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """Shows a share of an image [S, S] beyond a straight edge, and noise of its brightness there.

    Returns the image and which of its pixels are shown, bool [S, S]. The edge's direction depends
    on the image only.
    """
    rng = np.random.default_rng(int(image.astype(np.int64).sum()))
    angle = rng.uniform(0, 2 * np.pi)
    down, right = np.mgrid[: image.shape[0], : image.shape[1]]
    along = right * np.cos(angle) + down * np.sin(angle)
    shown = along <= np.quantile(along, share)
    noise = rng.normal(image.mean(), image.std(), image.shape).clip(0, 255).astype(np.uint8)
    return np.where(shown, image, noise), shown


CUT_OFF = (0.9, 0.75, 0.6, 0.5, 0.4, 0.3)
"""Shares of the square that lie on the hand."""

FAULTS: dict[str, tuple[str, Fault, tuple[float, ...]]] = {
    "blur, px of 224": ("sharpness", blur, (2, 3, 4, 5, 6, 8)),
    "enlarged from px": ("sharpness", enlarge, (48, 32, 24, 16, 8)),
    "contrast": ("veins", flatten, (0.5, 0.3, 0.2, 0.1)),
    "darkened": ("brightness", darken, (0.4, 0.2, 0.1, 0.05)),
    "share white": ("saturated", overexpose, (0.1, 0.2, 0.3, 0.4)),
    "JPEG quality": ("blocks", compress, (30, 20, 15, 10, 3)),
}
"""For each fault the component that shows it, what spoils an image, and the strengths."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the limits of the quality.")
    parser.add_argument("--models", type=Path, default=Path("models_store"))
    parser.add_argument("--net", default="vgg19")
    parser.add_argument("--palms", type=int, default=200, help="palms of each style")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    net = Version.open(highest_version(options.models, options.net))
    rows = [row for style in JUDGING for row in measure(net, style, options.palms)]
    report = {"machine": machine, "net": str(net.key), "palms": options.palms, "rows": rows}
    print(as_markdown(report, net.key))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def measure(net: Version, style: str, palms: int) -> list[dict[str, Any]]:
    """Returns a row for good images of a style, and for each strength of each fault."""
    drawn = draw_strangers(palms, SEED, STYLES[style], shots=1, side_px=net.input_px, cameras=1)
    first, second = (drawn.images(np.flatnonzero(drawn.sessions == i)) for i in (0, 1))
    templates = net.maps(_as_palms(drawn, first))
    mean = reduce(add, [MapSum.of(templates[i : i + 1]) for i in range(palms)]).mean()
    others = ~np.eye(palms, dtype=bool)

    def compare(one: Any, other: Any) -> NDArray[np.float32]:
        return compare_maps(one, other, mean, str(net.key))

    good = compare(net.maps(_as_palms(drawn, second)), templates)
    threshold = float(np.quantile(good[others], 1 - FMR))
    rows = [_row(style, "none", 0.0, "", second, good, good, threshold)]
    steps = [(name, *of) for name, of in FAULTS.items()]
    for name, component, spoil, strengths in tqdm(steps, style):
        for strength in strengths:
            spoilt = [np.stack([spoil(x, strength) for x in some]) for some in (second, first)]
            probes, also = (net.maps(_as_palms(drawn, some)) for some in spoilt)
            against_good, against_spoilt = compare(probes, templates), compare(probes, also)
            measured = (spoilt[0], against_good, against_spoilt, threshold)
            rows.append(_row(style, name, strength, component, *measured))
    for share in tqdm(CUT_OFF, f"{style}, cut off"):
        cut = [[cut_off(image, share) for image in some] for some in (second, first)]
        images, shown = (np.stack([[one[i] for one in some] for some in cut]) for i in (0, 1))
        probes, also = (net.maps(_as_palms(drawn, images[i]), shown[i]) for i in (0, 1))
        against_good, against_cut = compare(probes, templates), compare(probes, also)
        rows.append(
            _row(
                style, "on the hand", share, "skin", images[0], against_good, against_cut, threshold
            )
            | {"value": [share] * 3}
        )
    return rows


def _row(
    style: str,
    fault: str,
    strength: float,
    component: str,
    images: Pixels,
    against_good: NDArray[np.float32],
    against_spoilt: NDArray[np.float32],
    threshold: float,
) -> dict[str, Any]:
    others = ~np.eye(len(images), dtype=bool)
    region = Region("roi", whole_square(*images.shape[1:]), None, 1.0)
    qualities = [assess(image, region, image, 1.0) for image in images]
    values = [getattr(one, component) for one in qualities] if component else []
    return {
        "style": style,
        "fault": fault,
        "strength": strength,
        "component": component,
        "value": np.quantile(values, (0.05, 0.5, 0.95)).tolist() if values else [],
        "score": float(np.median([one.score for one in qualities])),
        "fnmr": float((np.diag(against_good) < threshold).mean()),
        "fmr against good": float((against_good[others] >= threshold).mean()),
        "fmr against spoilt": float((against_spoilt[others] >= threshold).mean()),
    }


def _as_palms(drawn: Palms, images: Pixels) -> Palms:
    """Returns images as a database of their own, which a version can run on."""
    rows = np.arange(len(images))
    labels = rows.astype(np.int32)
    parts = {"sessions": labels * 0, "shots": labels * 0, "hands": (labels * 0 - 1).astype(np.int8)}
    names = tuple(map(str, rows))
    return Palms(
        pixels=images, rows=rows, labels=labels, identities=names, files=names,
        session_names=("1",), sha256=drawn.sha256, **parts,
    )  # fmt: skip


def as_markdown(report: dict[str, Any], net: NetKey) -> str:
    """Returns the rows as a table."""
    lines = [
        f"{net}; {report['palms']} palms of each style, one template, one probe; "
        f"{as_sentence(report['machine'])}.",
        "",
        "| style | fault | component: 5 %, median, 95 % | limit | score | FNMR "
        "| FMR against good | FMR against spoilt |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        component, fault = row["component"], f"{row['fault']} {row['strength']:g}"
        values = ", ".join(f"{value:.3g}" for value in row["value"])
        limit = f"{CROP_SCALES[component].value_at(50):g}" if component else ""
        lines.append(
            f"| {row['style']} | {fault} | {component} {values} | {limit} | {row['score']:.0f} "
            f"| {row['fnmr']:.1%} | {row['fmr against good']:.1e} "
            f"| {row['fmr against spoilt']:.1e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
