"""A benchmark's figures as a page with plots and as a table for the model card."""

from pathlib import Path
from typing import Any

from app.palm.views import STEP
from training.benchmark.identification import FPIRS
from training.benchmark.plots import (
    draw_cmc,
    draw_det,
    draw_distributions,
    draw_open_set,
    draw_reliability,
)
from training.benchmark.verification import FMRS
from training.report.page import template_beside

TOO_FEW = "too few comparisons"

Report = dict[str, Any]


def as_html(report: Report) -> str:
    """One page, self-contained; it shows no image and names no file and no person."""
    matchers = report["matchers"]
    return template_beside(Path(__file__)).render(
        report=report,
        counts=_counts(report),
        header=_header(report),
        rows=_rows(report),
        notes=_notes(report),
        galleries=_galleries(report),
        distributions={one["name"]: draw_distributions(one) for one in matchers},
        plots={
            "DET": draw_det(matchers),
            "CMC": draw_cmc(matchers),
            "FNIR by gallery size": draw_open_set(matchers),
            "Reliability of the confidences": draw_reliability(matchers),
        },
    )


def as_markdown(report: Report) -> str:
    """The table of the model card, its counts before and its notes after it."""
    counts = ", ".join(f"{value} {name}" for name, value in _counts(report))
    lines = [
        f"{report['database']['name']}: {counts}.",
        "",
        f"| {' | '.join(_header(report))} |",
        "|" + "---|" * len(_header(report)),
        *(f"| {' | '.join(row)} |" for row in _rows(report)),
        "",
        " ".join(_notes(report)),
        *(f"\n**{warning}.**" for warning in report["warnings"]),
    ]
    return "\n".join(lines) + "\n"


def name_rate(rate: float) -> str:
    """A rate as the report writes it: 1e-3."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _header(report: Report) -> list[str]:
    size = _stated_size(report)
    searched = "" if size is None else f" (N = {size:,})"
    return [
        "matcher",
        "EER",
        *(f"FNMR at FMR {name_rate(fmr)}" for fmr in FMRS),
        "rank-1",
        f"FNIR at FPIR {FPIRS[0]:.0%}{searched}",
        "ECE",
    ]


def _rows(report: Report) -> list[list[str]]:
    size = _stated_size(report)
    rows = []
    for one in report["matchers"]:
        galleries = {gallery["size"]: gallery["fnir"] for gallery in one["open_set"]}
        fnir = None if size is None else galleries[size][name_rate(FPIRS[0])]
        ece = _cell(one["reliability"]["ece"]) if one["reliability"] else "not calibrated"
        rates = [one["eer"], *one["fnmr"].values(), one["rank_1"], fnir]
        rows.append([one["name"], *(_cell(rate) for rate in rates), ece])
    return rows


def _stated_size(report: Report) -> int | None:
    """The largest gallery for which FNIR is stated; it depends on the counts, not on a matcher."""
    name = name_rate(FPIRS[0])
    stated = [one["size"] for one in report["matchers"][0]["open_set"] if one["fnir"][name]]
    return max(stated, default=None)


def _cell(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return TOO_FEW
    mark = "†" if rate["rule_of_three"] else ""
    return f"{rate['value']:.2%} ({rate['low']:.2%} to {rate['high']:.2%}{mark})"


def _counts(report: Report) -> list[tuple[str, str]]:
    """Names and values, as the page and the table show them."""
    database, first = report["database"], report["matchers"][0]
    return [
        (name, f"{value:,}")
        for name, value in (
            (f"identities ({database['classes']})", database["identities"]),
            ("subjects", database["persons"]),
            ("sessions", database["sessions"]),
            ("template images", database["templates"]),
            ("probes", database["probes"]),
            ("genuine comparisons", first["genuine_comparisons"]),
            ("impostor comparisons", first["impostor_comparisons"]),
        )
    ]


def _galleries(report: Report) -> list[dict[str, Any]]:
    """FNIR of every matcher at every gallery size and FPIR."""
    return [
        {
            "size": f"{gallery['size']:,}",
            "probes": f"{gallery['stranger_probes']:,}",
            "fpir": name,
            "cells": [_cell(one["open_set"][i]["fnir"][name]) for one in report["matchers"]],
        }
        for i, gallery in enumerate(report["matchers"][0]["open_set"])
        for name in gallery["fnir"]
    ]


def _notes(report: Report) -> list[str]:
    """What the figures rest on, in sentences."""
    sampling, database = report["sampling"], report["database"]
    compared = "compared as they lie"
    if database["views"]:
        compared += (
            f" and mirrored, and the mean counts; the template is also moved by {STEP:.0%} towards "
            "each corner, of which the best move counts"
        )
    notes = [
        f"Templates are {database['templates_are']}; every other image is a probe. A net's "
        f"template of an identity is the mean of its embeddings; probe and template are {compared}"
        "; the classical matcher takes the best of its images.",
        f"In brackets 95 % intervals: {sampling['resamples']} resamples of the "
        f"{database['persons_with_probes']:,} subjects with probes, each with all of them, against "
        f"the same templates (seed {sampling['seed']}).",
        f"FNIR is the mean of {sampling['galleries_of_each_size']} galleries drawn by lot; ECE is that "
        "of the service's confidences with "
        f"{sampling['enrolled_share_for_confidence']:.0%} of the identities enrolled.",
    ]
    if any("†" in cell for row in _rows(report) for cell in row):
        notes.append("† No error was seen, or nothing else: the bound is 3 / subjects.")
    return notes
