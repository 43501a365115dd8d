"""Measures what mean maps of single cameras gain at a site with two cameras.

    python -m benchmarks.camera_pairs [--palms 140] [--cameras 2] [--json PATH]

Draws the same palms before several cameras of each style that training never draws. All cameras
cut the region of interest alike, as the service does in photographs of hands; with --own-cut, each
at a scale, turn and place of its own. Two cameras are a site: those of one style, or the first ones
of two styles. 40 subjects are enrolled by the one, 40 by the other, one image each. The other palms
are strangers, who are compared with each other: a probe of either camera with a template of either.
So half of the comparisons are within one camera. Four ways are compared:

- none: no mean map, and no site's impostors;
- common: one mean map of all 80 subjects, and their impostors, as without names of cameras;
- own: to each image the mean map of its own camera's 40 subjects, and the impostors before the
  probe's camera;
- own, rescaled: the same, and scores across the cameras are scaled by the impostors across them, as
  in the service.

One threshold serves all comparisons of a way: the one that 1e-3 of all impostors reach.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import combinations, product
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.ensemble import Ensemble
from app.gallery.index.cameras import CameraScales
from app.matching.calibration import lowest_reached
from app.matching.cohort import compare_cohort, compare_cohorts
from app.matching.fusion import weighted_sum
from app.matching.impostors import Impostors
from app.matching.intervals import wilson_interval
from app.matching.maps import Floats, VeinMaps, join_maps
from app.matching.mean_map import MapSum
from app.matching.scores import compare_one
from app.matching.similarity import encode
from app.nets.store import load_ensemble
from benchmarks.machine import as_sentence, describe_machine
from training.fit.batches import as_colour
from training.nets.recipe import NETS
from training.report.files import write_text
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import Layers
from training.synthetic.capture import shoot
from training.synthetic.pairs import resize
from training.synthetic.palms import draw_identity
from training.synthetic.sessions import draw_session
from training.synthetic.styles import STYLES, Style

JUDGING = ("polarized", "held-out", "contact", "mobile")
ENROLLED = 40  # by each camera
FMR = 1e-3
SEED = 613
WAYS = ("none", "common", "own", "own, rescaled")


class Camera(NamedTuple):
    """A camera: its style and its number."""

    style: str
    number: int


Shots = tuple[list[VeinMaps], list[VeinMaps]]
"""By net the maps of all palms' first session, and of the strangers' second one."""
Cells = dict[str, list[NDArray[np.floating]]]
"""By kind of comparison, the scores of strangers [P, P] in the sites' deviations."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures mean maps at sites with two cameras.")
    parser.add_argument("--models", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--palms", type=int, default=140, help="80 enrolled ones and strangers")
    parser.add_argument("--cameras", type=int, default=2, help="cameras of each style")
    parser.add_argument("--own-cut", action="store_true", help="cameras cut the palm differently")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if options.palms < 2 * ENROLLED + 2:
        parser.error(f"--palms {options.palms}: 80 enrolled palms and two strangers need 82")
    machine = describe_machine()
    ensemble = load_ensemble(options.models, NETS, "openvino")
    palms = [draw_identity(SEED, number) for number in range(options.palms)]
    cameras = [Camera(*one) for one in product(JUDGING, range(options.cameras))]
    shots = {
        one: photograph_all(ensemble, palms, one, own_cut=options.own_cut)
        for one in tqdm(cameras, "cameras")
    }
    pairs = [(one, other) for one, other in combinations(cameras, 2) if one.style == other.style]
    pairs += combinations([Camera(style, 0) for style in JUDGING], 2)
    rows = [tabulate(way, measure(ensemble.fusion.weights, shots, pairs, way)) for way in WAYS]
    report = {"machine": machine, "sites": len(pairs), "rows": rows}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def photograph_all(
    ensemble: Ensemble, palms: Sequence[Layers], camera: Camera, *, own_cut: bool
) -> Shots:
    """Returns one image of each palm in a first session, and of the strangers in a second one."""
    style = STYLES[camera.style]
    if not own_cut:
        style = replace(style, zoom=(1.0, 1.0), turn_deg=0.0, offset=0.0)
    first = [shoot_once(palm, style, camera, i, 1) for i, palm in enumerate(palms)]
    strangers = list(enumerate(palms))[2 * ENROLLED :]
    second = [shoot_once(palm, style, camera, i, 2) for i, palm in strangers]
    side = ensemble.input_px
    return maps_of(ensemble, first, side), maps_of(ensemble, second, side)


def shoot_once(
    palm: Layers, style: Style, camera: Camera, number: int, session: int
) -> NDArray[np.uint8]:
    """Returns one image of a palm."""
    key = [SEED, JUDGING.index(camera.style), camera.number]
    body = draw_camera(np.random.default_rng([*key, 9]), style)
    rng = np.random.default_rng([*key, number, session])
    return shoot(palm, draw_session(rng, style, body), rng, style)


def maps_of(ensemble: Ensemble, images: Sequence[NDArray[np.uint8]], side: int) -> list[VeinMaps]:
    """Returns each net's maps, scaled."""
    pixels = as_colour(np.stack([resize(image, side) for image in images]))
    return [
        net.cohort.scaled(join_maps([net.maps(one[np.newaxis]) for one in pixels]))
        for net in ensemble.nets
    ]


def measure(
    weights: Sequence[float],
    shots: dict[Camera, Shots],
    pairs: Sequence[tuple[Camera, Camera]],
    way: str,
) -> Cells:
    """Compares the strangers at every site."""
    found: Cells = {"within": [], "across, one style": [], "across, two styles": []}
    for pair in tqdm(pairs, f"{way}: sites"):
        sites = [Site.of(shots, pair, net, way) for net in range(len(weights))]
        for of_probe, of_template in product((0, 1), repeat=2):
            scores = weighted_sum(
                weights,
                [
                    site.compare(shots, pair, net, of_probe, of_template)
                    for net, site in enumerate(sites)
                ],
            )
            cohorts = [one for site in sites if (one := site.cohorts[of_probe]) is not None]
            if cohorts:
                scale = Impostors.of(weighted_sum(weights, cohorts))
                scores = (scores - scale.mean) / scale.deviation
            across = "across, one style" if pair[0].style == pair[1].style else "across, two styles"
            found["within" if of_probe == of_template else across].append(scores)
    return found


class Site(NamedTuple):
    """What one net knows of two cameras.

    Attributes:
        means: the mean map to subtract from the images of each.
        cohorts: the scores of the enrolled subjects that scale the probes of each; None for none.
        across: the impostors across both; None if scores across them are not rescaled.
    """

    means: tuple[Floats | None, Floats | None]
    cohorts: tuple[Floats | None, Floats | None]
    across: Impostors | None

    @classmethod
    def of(
        cls, shots: dict[Camera, Shots], pair: tuple[Camera, Camera], net: int, way: str
    ) -> "Site":
        """Computes the mean maps of one way."""
        if way == "none":
            return cls((None, None), (None, None), None)
        by_camera = [
            [shots[one][0][net][i : i + 1] for i in range(first, first + ENROLLED)]
            for one, first in zip(pair, (0, ENROLLED), strict=True)
        ]
        groups = by_camera if way.startswith("own") else [by_camera[0] + by_camera[1]] * 2
        totals = [reduce(add, map(MapSum.of, group)) for group in groups]
        cohorts = [
            compare_cohort(group, total) for group, total in zip(groups, totals, strict=True)
        ]
        across: Impostors | None = None
        if way == WAYS[-1]:
            scores = compare_cohorts(groups[0], totals[0], groups[1], totals[1])
            across = Impostors.of_values(scores[~np.isnan(scores)].astype(np.float64))
        return cls((totals[0].mean(), totals[1].mean()), (cohorts[0], cohorts[1]), across)

    def compare(
        self,
        shots: dict[Camera, Shots],
        pair: tuple[Camera, Camera],
        net: int,
        of_probe: int,
        of_template: int,
    ) -> Floats:
        """Returns the scores of the strangers' probes with their templates, [P, P]."""
        probes = shots[pair[of_probe]][1][net]
        templates = shots[pair[of_template]][0][net][2 * ENROLLED :]
        codes, mean = encode(templates, self.means[of_template]), self.means[of_probe]
        found = np.array(
            [
                compare_one(probes[i : i + 1], codes, templates.scales, mean, probes.shape)
                for i in range(len(probes))
            ]
        )
        cohort = self.cohorts[of_probe]
        if self.across is None or cohort is None or of_probe == of_template:
            return found
        return CameraScales.between(Impostors.of(cohort), self.across).rescale(
            found, np.zeros(found.shape, np.int16)
        )


def tabulate(way: str, found: Cells) -> dict[str, Any]:
    """Returns the rates of one way, at the threshold that `FMR` of all impostors reach."""
    others = ~np.eye(len(found["within"][0]), dtype=bool)
    pooled = np.concatenate([one[others] for of in found.values() for one in of])
    threshold = float(lowest_reached(pooled, [FMR])[0])
    kinds: dict[str, Any] = {}
    for kind, cells in found.items():
        if not cells:
            continue
        missed = int(sum((one.diagonal() < threshold).sum() for one in cells))
        probes = sum(len(one) for one in cells)
        rates = [float((one[others] >= threshold).mean()) for one in cells]
        kinds[kind] = {
            "fmr": float(np.mean(rates)),
            "highest": max(rates),
            "comparisons": int(others.sum()) * len(cells),
            "missed": missed,
            "probes": probes,
            "interval": wilson_interval(missed, probes),
        }
    return {"way": way, "kinds": kinds}


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the rates as a table."""
    kinds = report["rows"][0]["kinds"]
    counts = "; ".join(f"{kind}: {one['comparisons']:,}" for kind, one in kinds.items())
    lines = [
        f"{report['sites']} sites of two cameras; comparisons of strangers {counts}.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| mean map | " + " | ".join(f"{kind}: FMR, highest, FNMR" for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for row in report["rows"]:
        cells = [
            f"{one['fmr']:.1e}, {one['highest']:.1e}, {one['missed']} of {one['probes']:,} "
            f"({one['interval'][0]:.1%} to {one['interval'][1]:.1%})"
            for one in row["kinds"].values()
        ]
        lines.append(f"| {row['way']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
