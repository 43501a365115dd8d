"""What the parts of the torture are asked for, and what they report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import as_sentence


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        stores: "sqlite", "postgresql" or both.
        scale: share of each part's full size, more than 0, up to 1.
    """

    stores: Sequence[str]
    scale: float = 1.0

    def sized(self, full: int) -> int:
        """Returns a part's size at this scale, at least 1."""
        return max(round(full * self.scale), 1)


@dataclass(frozen=True)
class Row:
    """One promise, and whether it was held.

    Attributes:
        store: the store, or "" if the part needs only one.
        done: what was done, with numbers.
        promise: what must hold.
        measured: what was found; of a skipped part the reason.
        passed: None if the part was skipped.
    """

    store: str
    done: str
    promise: str
    measured: str
    passed: bool | None


def skipped(store: str, done: str, reason: str) -> Row:
    """Returns the row of what cannot be run on this machine."""
    return Row(store, done, "", reason, None)


def as_markdown(machine: dict[str, Any], rows: dict[str, list[Row]]) -> str:
    """Returns one table of all parts' rows."""
    lines = [
        f"{as_sentence(machine)}.",
        "",
        "| part | store | what was done | what must hold | measured | |",
        "|---|---|---|---|---|---|",
    ]
    verdicts = {True: "passed", False: "**missed**", None: "skipped"}
    for part, of_part in rows.items():
        for row in of_part:
            cells = (part, row.store, row.done, row.promise, row.measured, verdicts[row.passed])
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def counted(counts: dict[Any, int]) -> str:
    """Returns counts as text: "3 times 503, 1 time 500"; "none" if there are none."""
    told = (f"{n:,} time{'s' if n > 1 else ''} {what}" for what, n in sorted(counts.items()) if n)
    return ", ".join(told) or "none"
