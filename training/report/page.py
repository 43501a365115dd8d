"""The report of a training run: one HTML file that needs no network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.database.split import Split
from training.report.confusions import describe_confusions
from training.report.files import write_text
from training.report.plots import draw_curves
from training.report.template import render

TEMPLATE = Path(__file__).with_name("report.html.j2")

LEAKS_SHOWN = 10

Card = dict[str, str]


@dataclass(frozen=True)
class RunRecord:
    """A finished run, for the report.

    Attributes:
        title: title of the page.
        config: settings of the run, by name.
        environment: library versions, devices, precision and times, by name.
        split: the parts for training, validation and test.
        leakage: result of `training.leakage.find.Leakage.as_dict`.
        history: a dict for each epoch, with any of epoch, loss, accuracy, val_loss, val_accuracy
            (or val_rank_1 and val_eer), learning_rate and seconds.
        guard: problems that the training guard reported, in sentences.
        test_scores: float32 [N, C], similarities or probabilities of the test images, a column
            for each label; None if training and test share no identity.
        metrics: figures of the test, by name.
        notes: sentences at the top of the page, such as the accuracy before and after fine-tuning.
    """

    title: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    split: Split
    leakage: Mapping[str, Any]
    history: list[dict[str, float]]
    guard: list[str]
    test_scores: NDArray[np.float32] | None
    metrics: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


def write_report(record: RunRecord, target: Path) -> None:
    """Writes the report, whole or not at all.

    Raises:
        ValueError: if the scores do not fit the split's test part.
        OSError: if the file cannot be written.
    """
    write_text(target, render(TEMPLATE, **_describe(record)))


def _describe(record: RunRecord) -> dict[str, Any]:
    """Returns the template's values, by name."""
    identities = len(record.split.train.identities)
    cross_entropy = record.config.get("head") != "embedding"
    scores = record.test_scores
    test = None if scores is None else describe_confusions(record.split, scores)
    leaks = record.leakage.get("exact_pairs", []) + record.leakage.get("near_pairs", [])
    first_cards = [test["accuracy"]] if test else _make_metric_cards(record.metrics)
    return {
        "title": record.title,
        "notes": record.notes,
        "guard": record.guard,
        "guard_was_off": record.config.get("guard") == "off",
        "cards": first_cards + _make_progress_cards(record.history),
        "charts": draw_curves(record.history, identities, cross_entropy=cross_entropy),
        "split": record.split,
        "parts": record.split.count_parts(),
        "leakage": record.leakage,
        "leaks": leaks[:LEAKS_SHOWN],
        "test": test,
        "metrics": _list_rows(record.metrics),
        "config": _list_rows(record.config),
        "environment": _list_rows(record.environment),
    }


def _make_metric_cards(metrics: Mapping[str, Any]) -> list[Card]:
    """Returns the cards of a test on identities that the net was not trained on."""
    names = {"rank_1": "Test rank-1", "eer": "Test equal error rate"}
    note = "identities that the net was not trained on"
    return [
        {"name": name, "value": f"{metrics[key]:.2%}", "note": note}
        for key, name in names.items()
        if key in metrics
    ]


def _make_progress_cards(history: list[dict[str, float]]) -> list[Card]:
    """Returns the cards of the best epoch and of the training time."""
    cards = []
    for key, name in (("val_accuracy", "accuracy"), ("val_rank_1", "rank-1")):
        values = np.array([row.get(key, np.nan) for row in history])
        if np.isfinite(values).any():
            # Of equal epochs the last, whose weights the run keeps.
            best = len(values) - 1 - int(np.nanargmax(values[::-1]))
            epoch = int(history[best].get("epoch", best + 1))
            note = f"of {len(history)}; validation {name} {values[best]:.2%}"
            cards.append({"name": "Best epoch", "value": f"{epoch}", "note": note})
    seconds = [row["seconds"] for row in history if "seconds" in row]
    if seconds:
        note = f"{np.mean(seconds):.1f} s per epoch"
        value = _format_duration(sum(seconds))
        cards.append({"name": "Training time", "value": value, "note": note})
    return cards


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _list_rows(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Returns names and values as text; nested names are joined with dots."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _list_rows(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            text = ", ".join(_format_value(item) for item in value) or "none"
            rows.append((f"{prefix}{name}", text))
        else:
            rows.append((f"{prefix}{name}", _format_value(value)))
    return rows


def _format_value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
