"""Measures matchers and describes the database, for benchmark.json."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FPIR_TARGET
from app.matching.impostors import Impostors
from training.benchmark import verification
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.false_matches import (
    MAX_RATIO,
    OUTSIDE_FMRS,
    STATED_FMRS,
    count_false_matches,
)
from training.benchmark.identification import cmc, gallery_sizes, open_set, ranks
from training.benchmark.matchers import STATED_WITHIN, Matcher
from training.benchmark.resampling import Rate, Weights, share
from training.benchmark.tables import name_rate
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
    comparisons, evidence = matcher.comparisons, matcher.evidence()
    trials = comparisons.trials
    found = ranks(evidence)
    sizes = gallery_sizes(trials.own, len(trials.owners))
    galleries = open_set(evidence, sizes, seed=seed, weights=weights)
    return {
        "name": matcher.name,
        "made_of": matcher.made_of,
        **_verification(comparisons, weights),
        "rank_1": asdict(share(found == 1, trials.subjects, weights)),
        "cmc": cmc(found, min(CMC_DEPTH, len(trials.owners))).tolist(),
        "open_set": [asdict(one) | {"fnir": _by_name(one.fnir)} for one in galleries],
        "reliability": _reliability(matcher, weights, seed),
        "stated": _stated(matcher, comparisons, matcher.impostors, STATED_FMRS, weights)
        if matcher.compares_maps
        else None,
        "mean_map": _mean_map(matcher, weights) if matcher.compares_maps else None,
    }


def describe_database(options: ReadingOptions, palms: Palms, trials: Trials) -> dict[str, Any]:
    """Returns the name, settings and counts of the database, without names of files or persons."""
    first = np.full(len(palms.identities), len(palms.session_names))
    np.minimum.at(first, palms.labels, palms.sessions)
    by_session = (palms.sessions > first[palms.labels]).any()
    return {
        "name": options.data.name,
        "sha256": palms.sha256,
        "classes": f"{options.classes}s",
        "size_px": options.size_px,
        "identities": len(palms.identities),
        "persons": len(np.unique(trials.owners)),
        "persons_with_probes": trials.subject_count,
        "sessions": len(palms.session_names),
        "images": len(palms),
        "templates": len(trials.templates),
        "templates_of_an_identity": [
            int(trials.template_counts.min()),
            int(trials.template_counts.max()),
        ],
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
                f"{one['reliability']['lowest_fmr']:.2g}"
            )
        exceeded = [name for name, at in (one["stated"] or {}).items() if at and at["exceeded"]]
        if exceeded:
            found.append(
                f"{one['name']} accepts more impostors of this database than its calibration "
                f"states, more than {MAX_RATIO} times as many at FMR {', '.join(exceeded)}: its "
                "thresholds do not hold here"
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


def _reliability(matcher: Matcher, weights: Weights, seed: int) -> dict[str, Any] | None:
    if matcher.calibration is None:
        return None
    comparisons = matcher.comparisons
    answers = identify_probes(comparisons, matcher.calibration, seed, impostors=matcher.impostors)
    found = measure_reliability(answers, comparisons.trials.subjects, weights)
    reached = answers.fmr <= FPIR_TARGET / answers.enrolled * (1 + STATED_WITHIN)
    return asdict(found) | {"lowest_fmr": None if reached else answers.fmr}


def _stated(
    matcher: Matcher,
    comparisons: Comparisons,
    impostors: Impostors | None,
    fmrs: Sequence[float],
    weights: Weights,
) -> dict[str, dict[str, Any] | None]:
    """Returns the errors at the calibrated threshold for each FMR; None if there is none."""
    found = {}
    for fmr in fmrs:
        limits = matcher.limits(fmr, comparisons, impostors)
        counted = limits and count_false_matches(comparisons, limits, fmr, weights)
        found[name_rate(fmr)] = counted and asdict(counted)
    return found


def _mean_map(matcher: Matcher, weights: Weights) -> dict[str, Any]:
    """Returns the rates without the mean map, and those of strangers outside it."""
    plain = matcher.without_mean and _verification(matcher.without_mean, weights)
    outside = [
        {
            "enrolled": one.enrolled,
            "strangers": len(one.comparisons.trials.owners),
            "stated": _stated(matcher, one.comparisons, one.impostors, OUTSIDE_FMRS, weights),
        }
        for one in matcher.outside
        if len(one.comparisons.trials.own)
    ]
    return {
        "subtracted": matcher.impostors is not None,
        "without": plain and {name: plain[name] for name in ("eer", "fnmr")},
        "outside": outside,
    }


def _by_name(rates: dict[float, Rate | None]) -> dict[str, dict[str, Any] | None]:
    """Returns rates by their names, because keys in JSON cannot be numbers."""
    return {name_rate(one): rate and asdict(rate) for one, rate in rates.items()}
