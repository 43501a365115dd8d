"""Writes a run's result at the end of the training: figures, plot and report."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import keras
from matplotlib.figure import Figure

from training.database.split import Split
from training.fit.evaluation import Evaluation
from training.report.files import replacing, write_text
from training.report.page import RunRecord, write_report

RESULT = "result.json"
REPORT = "report.html"

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Page:
    """Content of a run's report besides its settings and its history.

    Attributes:
        split: the split database.
        evaluation: figures of the test part.
        leakage: result of `training.leakage.find.Leakage.as_dict`.
        findings: findings of the guard.
        notes: sentences at the top of the report.
    """

    split: Split
    evaluation: Evaluation
    leakage: Mapping[str, Any]
    findings: Sequence[str] = ()
    notes: Sequence[str] = ()


def conclude(
    out: Path,
    settings: Mapping[str, Any],
    rows: Rows,
    figures: Mapping[str, Any],
    page: Page | None = None,
) -> None:
    """Writes history.png, report.html if there is a page, and result.json.

    Each file is written whole or not at all. result.json is last: if it exists, the others do.

    Args:
        out: folder of the run, or of one net in it.
        settings: settings of the run as in config.json, with `net`.
        rows: rows of the history, at least one.
        figures: figures for result.json, besides the net, the epochs, the time and the environment.
        page: content of the report; None for no report.
    """
    environment = describe_environment(settings["precision"])
    result = {
        "net": settings["net"],
        **figures,
        "epochs": len(rows),
        "minutes": round(sum(row["seconds"] for row in rows) / 60, 1),
        "environment": environment,
    }
    if page:
        result |= {
            "split": str(page.split),
            "test": page.evaluation.metrics,
            "guard": list(page.findings),
            "notes": list(page.notes),
            "leakage": page.leakage,
        }
        record = RunRecord(
            title=f"{settings['net']}, {out.name}",
            config=settings,
            environment=environment,
            split=page.split,
            leakage=page.leakage,
            history=[dict(row) for row in rows],
            guard=list(page.findings),
            test_scores=page.evaluation.scores,
            metrics=page.evaluation.metrics,
            notes=list(page.notes),
        )
        write_report(record, out / REPORT)
    plot_history(rows, out / "history.png")
    write_text(out / RESULT, json.dumps(result, indent=1) + "\n")


def plot_history(rows: Rows, target: Path) -> None:
    """Writes a plot of the loss, and of the accuracy or the equal error rate, by epoch."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    second = "accuracy" if "accuracy" in rows[0] or "val_accuracy" in rows[0] else "eer"
    parts = {"": "training", "val_": "validation", "held_out_": "held-out style"}
    for axes, metric in zip(figure.subplots(1, 2), ("loss", second), strict=True):
        for name, label in ((f"{part}{metric}", label) for part, label in parts.items()):
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(target) as unfinished:
        figure.savefig(unfinished, dpi=120, format="png")


def describe_environment(precision: str) -> dict[str, Any]:
    """Returns the backend, devices, processor and libraries of a run, and the current time."""
    return {
        "backend": keras.backend.backend(),
        "precision": precision,
        "devices": [str(d) for d in keras.distribution.list_devices()],
        "processor": _processor(),
        "python": platform.python_version(),
        "libraries": {name: library_version(name) for name in ("keras", "numpy")},
        "finished": time.strftime("%Y-%m-%d %H:%M %Z"),
    }


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()
