"""Measures matchers and describes the database, for benchmark.json."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FPIR_TARGET, Calibration
from training.benchmark import verification
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.identification import cmc, gallery_sizes, open_set, ranks
from training.benchmark.matchers import Matcher
from training.benchmark.report import name_rate
from training.benchmark.resampling import Rate, Weights, share
from training.database.palms import Palms, ReadingOptions
from training.metrics.calibration_curves import identify_probes, measure_reliability
from training.metrics.rates import equal_error_rate
from training.versions.read import Version

CMC_DEPTH = 20
"""Highest rank of the CMC."""

DET_POINTS = 400
"""Number of points of a DET curve."""

Array = NDArray[np.floating]


def measure_matcher(matcher: Matcher, weights: Weights, seed: int) -> dict[str, Any]:
    """Returns all figures of one matcher.

    Args:
        matcher: the matcher with its similarities.
        weights: [1 + B, S], from `draw_subjects`.
        seed: seed of the galleries.
    """
    comparisons = matcher.comparisons
    trials = comparisons.trials
    found = ranks(comparisons)
    sizes = gallery_sizes(trials.own, len(trials.owners))
    galleries = open_set(comparisons, sizes, seed=seed, weights=weights)
    return {
        "name": matcher.name,
        "made_of": matcher.made_of,
        **_verification(comparisons, weights),
        "rank_1": asdict(share(found == 1, trials.subjects, weights)),
        "cmc": cmc(found, min(CMC_DEPTH, len(trials.owners))).tolist(),
        "open_set": [asdict(one) | {"fnir": _by_name(one.fnir)} for one in galleries],
        "reliability": matcher.calibration
        and _reliability(comparisons, matcher.calibration, weights, seed),
    }


def describe_database(
    options: ReadingOptions, palms: Palms, trials: Trials, *, views: bool
) -> dict[str, Any]:
    """Returns the name, settings and counts of the database, without names of files or persons."""
    first = np.full(len(palms.identities), len(palms.session_names))
    np.minimum.at(first, palms.labels, palms.sessions)
    by_session = (palms.sessions > first[palms.labels]).any()
    return {
        "name": options.data.name,
        "sha256": palms.sha256,
        "classes": f"{options.classes}s",
        "size_px": options.size_px,
        "views": views,
        "identities": len(palms.identities),
        "persons": len(np.unique(trials.owners)),
        "persons_with_probes": trials.subject_count,
        "sessions": len(palms.session_names),
        "images": len(palms),
        "templates": int(trials.templates.sum()),
        "probes": len(trials.own),
        "templates_are": "each identity's first session"
        if by_session
        else "the first half of each identity's shots",
    }


def find_warnings(
    versions: Sequence[Version], palms: Palms, matchers: Sequence[dict[str, Any]]
) -> list[str]:
    """Returns sentences that warn of misleading figures.

    Args:
        versions: the nets.
        palms: all images of the database.
        matchers: the figures of all matchers.
    """
    found = [
        f"{version.key} was trained on this database, or calibrated with it "
        f"({len(set(version.identities) & set(palms.identities))} of {len(palms.identities)} "
        "identities are its own): its rates and those of the fusion are optimistic"
        for version in versions
        if version.dataset.sha256 == palms.sha256
    ]
    for one in matchers:
        if one["reliability"] and one["reliability"]["lowest_fmr"]:
            found.append(
                f"{one['name']} has no threshold for an FPIR of {FPIR_TARGET:.0%} in this gallery: "
                "its confidences are those at the lowest FMR that it was calibrated for, "
                f"{one['reliability']['lowest_fmr']:g}"
            )
    return found


def _verification(comparisons: Comparisons, weights: Weights) -> dict[str, Any]:
    genuine = comparisons.genuine()
    eer = equal_error_rate(genuine, comparisons.impostors())
    count = int(sum(len(block) for block in comparisons.impostors()))
    tail = verification.highest(
        comparisons.impostors(), verification.allowed(verification.FMRS[0], count) + 1
    )
    thresholds = {fmr: verification.lowest_threshold(tail, fmr, count) for fmr in verification.FMRS}
    exact = [one for one in thresholds.values() if one is not None]
    counted = verification.tally(
        comparisons, verification.choose_thresholds(comparisons, tail, exact)
    )
    rates = counted.rates(weights)

    def rate(value: float, resampled: Any) -> Rate:
        return Rate.of(value, resampled[1:], len(genuine), weights.shape[1])

    fnmr = dict.fromkeys(thresholds) | {
        fmr: rate(verification.fnmr_at(genuine, at), verification.fnmr_at_fmr(*rates, fmr))
        for fmr, at in thresholds.items()
        if at is not None
    }
    return {
        "genuine_comparisons": len(genuine),
        "impostor_comparisons": count,
        "eer": asdict(rate(eer, verification.eer_of(*rates))),
        "fnmr": _by_name(fnmr),
        "thresholds": {name_rate(fmr): at for fmr, at in thresholds.items()},
        "det": _det(*rates),
        "distributions": _distributions(counted),
    }


def _det(fmr: Array, fnmr: Array) -> dict[str, list[float]]:
    """Returns the DET curve of all subjects, with at most `DET_POINTS` points."""
    chosen = np.unique(np.linspace(0, fmr.shape[1] - 1, DET_POINTS).round().astype(int))
    return {"fmr": fmr[0, chosen].tolist(), "fnmr": fnmr[0, chosen].tolist()}


def _distributions(counted: verification.Tally) -> dict[str, list[float]]:
    """Returns the shares of genuine and impostor comparisons in each of `GRID` equal bins."""
    low, high = counted.thresholds[0], counted.thresholds[-2]
    edges = np.linspace(low, high, verification.GRID + 1)
    at = np.searchsorted(counted.thresholds, edges[:-1])
    found: dict[str, list[float]] = {"edges": edges.tolist()}
    for name, table in (("genuine", counted.genuine), ("impostors", counted.impostors)):
        reaching = np.append(table.sum(axis=0)[at], 0)
        found[name] = (-np.diff(reaching) / reaching[0]).tolist()
    return found


def _reliability(
    comparisons: Comparisons, calibration: Calibration, weights: Weights, seed: int
) -> dict[str, Any]:
    answers = identify_probes(comparisons, calibration, seed)
    found = measure_reliability(answers, comparisons.trials.subjects, weights)
    asked = FPIR_TARGET / answers.enrolled
    lowest = calibration.thresholds[-1].fmr
    return asdict(found) | {"lowest_fmr": lowest if asked < lowest else None}


def _by_name(rates: dict[float, Rate | None]) -> dict[str, dict[str, Any] | None]:
    """Returns rates by their names, because keys in JSON cannot be numbers."""
    return {name_rate(one): rate and asdict(rate) for one, rate in rates.items()}
