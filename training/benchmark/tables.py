"""The tables of a benchmark on thresholds and on the mean map, and how rates are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.matching.mean_map import MIN_SUBJECTS
from training.benchmark.false_matches import MAX_RATIO, OUTSIDE_FMRS, STATED_FMRS
from training.benchmark.map_similarities import ENROLLED, MAX_STRANGERS, MIN_STRANGERS
from training.benchmark.verification import FMRS

TOO_FEW = "too few comparisons"
TOO_FEW_IDENTITIES = "too few identities"
NOT_CALIBRATED = "not calibrated"

Matcher = dict[str, Any]
"""An element of `matchers` in benchmark.json."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        title: what it shows.
        header: names of the columns.
        rows: the cells, row by row.
        notes: sentences on how to read it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def map_tables(matchers: list[Matcher]) -> list[Table]:
    """Returns the tables on the matchers that compare maps; none if there is no such matcher."""
    of_maps = [one for one in matchers if one["mean_map"]]
    tables = (tabulate_stated, tabulate_mean_map, tabulate_outside)
    return [tabulate(of_maps) for tabulate in tables] if of_maps else []


def tabulate_stated(matchers: list[Matcher]) -> Table:
    """Returns the false match rates that calibrations state and those that were observed."""
    rows = [
        [one["name"], name_rate(fmr), *_observed(one["stated"][name_rate(fmr)])]
        for one in matchers
        for fmr in STATED_FMRS
    ]
    notes = [
        "The threshold is the one that the calibration states for the number of templates of each "
        "identity, with the mean map if one is subtracted.",
        "Impostor comparisons that share a palm are not independent. The interval resamples the "
        "probes' subjects; without a false match (†) it is 3 / comparisons wide, which is too "
        "narrow.",
        f"⚠: the observed FMR is more than {MAX_RATIO} times the stated one.",
    ]
    header = ["matcher", "stated FMR", "observed FMR", "false matches", "FNMR"]
    return Table("Stated against observed FMR", header, rows, notes)


def tabulate_mean_map(matchers: list[Matcher]) -> Table:
    """Returns the error rates with and without the mean map."""
    header = ["matcher", "mean map", "EER", *(f"FNMR at FMR {name_rate(fmr)}" for fmr in FMRS[1:])]
    rows = []
    for one in matchers:
        without = one["mean_map"]["without"]
        cases = [("subtracted", one), ("none", without)] if without else [("none", one)]
        rows += [
            [one["name"], case, write_rate(found["eer"])]
            + [write_rate(found["fnmr"][name_rate(fmr)]) for fmr in FMRS[1:]]
            for case, found in cases
        ]
    notes = [
        "The mean map is that of all identities' templates. None is subtracted if the database has "
        f"fewer than {MIN_SUBJECTS} identities."
    ]
    return Table("With and without the mean map", header, rows, notes)


def tabulate_outside(matchers: list[Matcher]) -> Table:
    """Returns the observed false match rates of strangers outside the mean map."""
    rows = [
        [one["name"], name_rate(fmr)]
        + [_outside(one["mean_map"]["outside"], enrolled, name_rate(fmr)) for enrolled in ENROLLED]
        for one in matchers
        for fmr in OUTSIDE_FMRS
    ]
    notes = [
        "Observed FMR with its interval, and false matches of all comparisons. The mean map is "
        "that of the enrolled identities; only comparisons among the other identities count, at "
        f"least {MIN_STRANGERS} and at most {MAX_STRANGERS}. With 0 enrolled there is no mean map.",
    ]
    header = ["matcher", "stated FMR", *(f"{enrolled} enrolled" for enrolled in ENROLLED)]
    return Table("FMR of strangers outside the mean map", header, rows, notes)


def name_rate(rate: float) -> str:
    """Returns a rate as the report names it, such as 1e-3."""
    return f"{rate:.0e}".replace("e-0", "e-")


def write_rate(rate: dict[str, Any] | None) -> str:
    """Returns a rate in percent with its interval, such as "3.00% (1.50% to 6.00%)"."""
    return TOO_FEW if rate is None else _with_interval(rate, "{:.2%}".format)


def _write_fmr(rate: dict[str, Any]) -> str:
    """Returns a small rate with its interval, such as "1.2e-4 (3.0e-5 to 3.1e-4)"."""
    return _with_interval(rate, lambda value: f"{value:.1e}".replace("e-0", "e-") if value else "0")


def _with_interval(rate: dict[str, Any], write: Callable[[float], str]) -> str:
    mark = "†" if rate["rule_of_three"] else ""
    return f"{write(rate['value'])} ({write(rate['low'])} to {write(rate['high'])}{mark})"


def _observed(found: dict[str, Any] | None) -> list[str]:
    """Returns the cells for observed FMR, false matches and FNMR."""
    if found is None:
        return [NOT_CALIBRATED] * 3
    return [_flagged(found), _counts(found), write_rate(found["fnmr"])]


def _flagged(found: dict[str, Any]) -> str:
    return _write_fmr(found["fmr"]) + (" ⚠" if found["exceeded"] else "")


def _counts(found: dict[str, Any]) -> str:
    return f"{found['matches']:,} of {found['comparisons']:,}"


def _outside(cases: list[dict[str, Any]], enrolled: int, fmr: str) -> str:
    """Returns the cell for one number of identities in the mean map."""
    stated = [one["stated"] for one in cases if one["enrolled"] == enrolled]
    if not stated:
        return TOO_FEW_IDENTITIES
    found = stated[0][fmr]
    return f"{_flagged(found)}, {_counts(found)}" if found else NOT_CALIBRATED
