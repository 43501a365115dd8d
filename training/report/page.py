"""A run's report: one HTML file that a person can read, print and pass on, without a network."""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

from training.database.palms import Palms
from training.database.split import Split
from training.metrics.rates import wilson_interval
from training.report.plots import draw_confusion, draw_curves

PAIRS_SHOWN = 15
IDENTITIES_SHOWN = 6
MISTAKES_SHOWN = 3
"""Of one identity: its images are biometric data, so no more than tell what went wrong."""

JPEG_QUALITY = 85


@dataclass(frozen=True)
class RunRecord:
    """What a finished run was, as the report shows it.

    Attributes:
        title: of the page.
        config: what was set, by name.
        environment: what it was computed with: library versions, devices, precision, times.
        split: what the net learned, was chosen by, and is judged on.
        leakage: `training.leakage.find.Leakage.as_dict()`.
        history: for each epoch a dict, as far as known of epoch, loss, accuracy, val_loss,
            val_accuracy (or val_rank_1 and val_eer), learning_rate and seconds.
        guard: findings of the training's guard, in plain sentences.
        test_scores: float32 [N, C], similarities or probabilities of the test images, a column
            for each label; None where train and test share no identity.
        metrics: of the test, by name.
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


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one identity that were taken for another.

    Attributes:
        identity: label of the true one.
        taken_for: label of the one found.
        count: how many.
        of: test images of the true identity.
    """

    identity: int
    taken_for: int
    count: int
    of: int


def template_beside(module: Path) -> Template:
    """report.html.j2 in a module's folder; a name that it misses is an error."""
    environment = Environment(
        loader=FileSystemLoader(module.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def write_report(record: RunRecord, target: Path) -> None:
    """Writes the report, whole or not at all.

    Raises:
        ValueError: if the scores do not fit the split's test part.
        OSError: if the file cannot be written.
    """
    page = template_beside(Path(__file__)).render(_describe(record))
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(target)


def count_confusions(found: NDArray[np.int64], labels: NDArray[np.int32]) -> list[Confusion]:
    """Every pair of a true and another identity found, the most frequent first.

    Args:
        found: int [N], labels found.
        labels: int [N], true labels.
    """
    wrong = found != labels
    totals = Counter(labels.tolist())
    pairs = Counter(zip(labels[wrong].tolist(), found[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(*pair, count, totals[pair[0]]) for pair, count in ordered]


def _describe(record: RunRecord) -> dict[str, Any]:
    """All that the template shows."""
    train = record.split.train
    page: dict[str, Any] = {
        "title": record.title,
        "split": record.split,
        "parts": _count_parts(record.split),
        "leakage": record.leakage,
        "guard": record.guard,
        "curves": draw_curves(
            record.history,
            len(train.identities),
            cross_entropy=record.config.get("head") != "embedding",
        ),
        "metrics": _rows(record.metrics),
        "config": _rows(record.config),
        "environment": _rows(record.environment),
        "cards": _progress_cards(record.history),
        "matrix": None,
        "confusions": [],
        "confusion_count": 0,
        "worst": [],
        "image_count": 0,
    }
    if record.test_scores is None:
        page["cards"] = _metric_cards(record.metrics) + page["cards"]
        return page
    return page | _describe_test(record.split, record.test_scores, page["cards"])


def _describe_test(
    split: Split, scores: NDArray[np.float32], cards: list[dict[str, str]]
) -> dict[str, Any]:
    """What a closed-set test shows."""
    test = split.test
    expected = (len(test), len(test.identities))
    if scores.shape != expected:
        raise ValueError(f"test scores are {scores.shape}, and the test part needs {expected}")
    found = scores.argmax(axis=1)
    matrix = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(matrix, (test.labels, found), 1)
    confusions = count_confusions(found, test.labels)
    worst = _worst(split, found, scores)
    return {
        "cards": [_accuracy_card(found, test.labels), *cards],
        "matrix": draw_confusion(matrix, test.identities),
        "confusions": [
            {
                "identity": test.identities[c.identity],
                "taken_for": test.identities[c.taken_for],
                "count": c.count,
                "of": c.of,
            }
            for c in confusions[:PAIRS_SHOWN]
        ],
        "confusion_count": len(confusions),
        "worst": worst,
        "image_count": sum(1 + len(m["others"]) for w in worst for m in w["mistakes"]),
    }


def _accuracy_card(found: NDArray[np.int64], labels: NDArray[np.int32]) -> dict[str, str]:
    right, count = int((found == labels).sum()), len(labels)
    low, high = wilson_interval(right, count)
    return {
        "name": "Test accuracy",
        "value": f"{right / count:.2%}",
        "note": f"{right:,} of {count:,}; 95 % interval {low:.2%} to {high:.2%}",
    }


def _metric_cards(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first figures of a test whose identities the net never saw."""
    names = {"rank_1": "Rank-1", "eer": "Equal error rate", "auc": "Area under the curve"}
    return [
        {"name": f"Test: {name}", "value": f"{metrics[key]:.2%}", "note": "identities unseen"}
        for key, name in names.items()
        if key in metrics
    ]


def _progress_cards(history: list[dict[str, float]]) -> list[dict[str, str]]:
    """Best epoch and time."""
    if not history:
        return []
    cards = []
    for key in ("val_accuracy", "val_rank_1"):
        values = np.array([row.get(key, np.nan) for row in history])
        if not np.isfinite(values).any():
            continue
        best = int(np.nanargmax(values))
        epoch = int(history[best].get("epoch", best + 1))
        value = f"{history[best][key]:.2%} in validation"
        cards.append(
            {"name": "Best epoch", "value": f"{epoch}", "note": f"of {len(history)}; {value}"}
        )
    seconds = [row["seconds"] for row in history if "seconds" in row]
    if seconds:
        note = f"{np.mean(seconds):.1f} s an epoch"
        cards.append({"name": "Training time", "value": _duration(sum(seconds)), "note": note})
    return cards


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _count_parts(split: Split) -> list[dict[str, Any]]:
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    return [
        {
            "name": name,
            "images": len(palms),
            "identities": len(np.unique(palms.labels)),
            "sessions": len(np.unique(palms.sessions[palms.sessions >= 0])) or "unknown",
        }
        for name, palms in parts.items()
    ]


def _worst(
    split: Split, found: NDArray[np.int64], scores: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """The identities most often taken for others, with some of the images that were."""
    test = split.test
    wrong = np.flatnonzero(found != test.labels)
    errors = Counter(test.labels[wrong].tolist()).most_common(IDENTITIES_SHOWN)
    return [
        {
            "identity": test.identities[label],
            "errors": count,
            "of": int((test.labels == label).sum()),
            "mistakes": [
                _mistake(split, int(i), int(found[i]), scores[i])
                for i in wrong[test.labels[wrong] == label][:MISTAKES_SHOWN]
            ],
        }
        for label, count in errors
    ]


def _mistake(split: Split, i: int, found: int, scores: NDArray[np.float32]) -> dict[str, Any]:
    """A test image beside training images of whom it shows and of whom it was taken for."""
    test = split.test
    label = int(test.labels[i])
    roles = (("shows", label), ("taken for", found))
    return {
        "image": _embed(test, i),
        "file": test.files[i],
        "others": [
            {
                "role": role,
                "identity": test.identities[other],
                "score": f"{scores[other]:.3f}",
                "image": _embed(split.train, own[0]),
            }
            for role, other in roles
            if len(own := np.flatnonzero(split.train.labels == other))
        ],
    }


def _embed(palms: Palms, index: int) -> str:
    """One image as the text of a data URL."""
    file = BytesIO()
    Image.fromarray(palms.images(np.array([index]))[0]).save(file, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values as text, what is nested in it named by its path."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append((f"{prefix}{name}", ", ".join(_text(item) for item in value) or "none"))
        else:
            rows.append((f"{prefix}{name}", _text(value)))
    return rows


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
