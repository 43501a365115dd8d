"""Writes a benchmark's figures as an HTML page and as a Markdown table for the model card."""

from pathlib import Path
from typing import Any

from training.benchmark.identification import FPIRS
from training.benchmark.tables import (
    NOT_CALIBRATED,
    TOO_FEW,
    Table,
    map_tables,
    name_rate,
    write_rate,
)
from training.benchmark.verification import FMRS, MIN_ERRORS
from training.report.template import render

TEMPLATE = Path(__file__).with_name("report.html.j2")

Report = dict[str, Any]
"""Content of benchmark.json."""


def as_html(report: Report) -> str:
    """Returns a page that needs no other file and shows no image, file name or person."""
    # Imported here, so that --help of the benchmark does not load matplotlib.
    from training.benchmark import plots

    matchers = report["matchers"]
    draws = (plots.draw_det, plots.draw_cmc, plots.draw_open_set, plots.draw_reliability)
    return render(
        TEMPLATE,
        report=report,
        counts=_counts(report),
        header=_header(report),
        rows=_rows(report),
        notes=_notes(report),
        tables=map_tables(matchers),
        galleries=_galleries(report),
        distributions=[plots.draw_distributions(one) for one in matchers],
        charts=[draw(matchers) for draw in draws],
    )


def as_markdown(report: Report) -> str:
    """Returns the counts, the warnings, and the tables with their notes."""
    counts = ", ".join(f"{value} {name}" for name, value in _counts(report))
    main = Table("All matchers", _header(report), _rows(report), _notes(report))
    lines = [
        f"{report['database']['name']}: {counts}.",
        *(f"\n**{warning}.**" for warning in report["warnings"]),
        *(_write_table(table) for table in (main, *map_tables(report["matchers"]))),
    ]
    return "\n".join(lines) + "\n"


def _write_table(table: Table) -> str:
    rows = (table.header, ["---"] * len(table.header), *table.rows)
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"\n**{table.title}**\n\n{lines}\n\n{' '.join(table.notes)}"


def _header(report: Report) -> list[str]:
    size = _stated_size(report)
    gallery = "" if size is None else f" (N = {size:,})"
    return [
        "matcher",
        "EER",
        *(f"FNMR at FMR {name_rate(fmr)}" for fmr in FMRS),
        "rank-1",
        f"FNIR at FPIR {name_rate(FPIRS[0])}{gallery}",
        "ECE",
    ]


def _rows(report: Report) -> list[list[str]]:
    size = _stated_size(report)
    rows = []
    for one in report["matchers"]:
        galleries = {gallery["size"]: gallery["fnir"] for gallery in one["open_set"]}
        fnir = None if size is None else galleries[size][name_rate(FPIRS[0])]
        ece = write_rate(one["reliability"]["ece"]) if one["reliability"] else NOT_CALIBRATED
        rates = [one["eer"], *one["fnmr"].values(), one["rank_1"], fnir]
        rows.append([one["name"], *(write_rate(rate) for rate in rates), ece])
    return rows


def _stated_size(report: Report) -> int | None:
    """Returns the size of the largest gallery with a stated FNIR; it is equal for all matchers."""
    name = name_rate(FPIRS[0])
    stated = [one["size"] for one in report["matchers"][0]["open_set"] if one["fnir"][name]]
    return max(stated, default=None)


def _counts(report: Report) -> list[tuple[str, str]]:
    """Returns the names and values of the counts."""
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
    """Returns a table row for every gallery size and FPIR, with the FNIR of every matcher."""
    return [
        {
            "size": f"{gallery['size']:,}",
            "probes": f"{gallery['stranger_probes']:,}",
            "fpir": name,
            "cells": [write_rate(one["open_set"][i]["fnir"][name]) for one in report["matchers"]],
        }
        for i, gallery in enumerate(report["matchers"][0]["open_set"])
        for name in gallery["fnir"]
    ]


def _notes(report: Report) -> list[str]:
    """Returns sentences on how the figures were measured."""
    sampling, database = report["sampling"], report["database"]
    cells = [cell for row in _rows(report) for cell in row]
    notes = [
        f"Templates: {database['templates_are']}. Probes: all other images.",
        _describe_comparison(report),
        f"In brackets: 95 % intervals from {sampling['resamples']} bootstrap resamples of the "
        f"{database['persons_with_probes']:,} subjects with probes, each with all of its probes; "
        f"the templates stay the same (seed {sampling['seed']}).",
        f"FNIR is the mean over {sampling['galleries_of_each_size']} random galleries.",
        "ECE is the calibration error of the service's confidences with "
        f"{sampling['enrolled_share_for_confidence']:.0%} of the identities enrolled.",
    ]
    if any("†" in cell for cell in cells):
        notes.append(
            "† No trial was an error, or every trial was: the interval is 3 / subjects wide, by "
            "the rule of three."
        )
    if TOO_FEW in cells:
        notes.append(_explain_too_few())
    return notes


def _describe_comparison(report: Report) -> str:
    shift, limit = report["comparison"]["shift"], report["comparison"]["templates"]
    changed = report["comparison"]["unlike_service"]
    fewest, most = report["database"]["templates_of_an_identity"]
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    text = (
        f"Each identity has {count} templates (at most {limit}), and its most similar one counts. "
        f"Maps are compared at shifts of up to {shift} places, minus the mean map of all "
        "identities if one is subtracted."
    )
    return f"{text} Unlike in the service, {changed}: nothing is calibrated." if changed else text


def _explain_too_few() -> str:
    fmrs = ", ".join(f"{round(MIN_ERRORS / fmr):,} for FMR {name_rate(fmr)}" for fmr in FMRS)
    return (
        f"“{TOO_FEW.capitalize()}”: a rate is stated only if at least {MIN_ERRORS} errors are "
        f"expected. The number of impostor comparisons must be at least {fmrs}; the number of "
        f"strangers' probes at least {round(MIN_ERRORS / FPIRS[0]):,} for FPIR "
        f"{name_rate(FPIRS[0])}. Add identities, or more images of each."
    )
