"""A finished run's test: judged once, with the weights of the best epoch, and written down."""

import json
import platform
import time
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.database.palms import Palms
from training.database.split import Split
from training.fit.batches import in_batches
from training.fit.checkpoint import read_history
from training.metrics.open_set import compiled_embedder, measure_open_set
from training.metrics.rates import wilson_interval
from training.report.page import RunRecord, write_report


def conclude(
    scores: keras.Model,
    split: Split,
    settings: dict[str, Any],
    leakage: dict[str, Any],
    findings: list[str],
    out: Path,
    *,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Judges the net on the test part and writes result.json and report.html.

    Args:
        scores: the net with the weights of its best epoch.
        split: what it was trained and is judged on.
        settings: the run's configuration.
        leakage: what `training.leakage.find` found.
        findings: the guard's.
        out: the run's folder.
        extra: more for result.json.

    Returns:
        The path of the report.
    """
    history = read_history(out)
    if split.kind == "identity":
        found, metrics = None, measure_open_set(compiled_embedder(scores), split.test)
    else:
        found = predict(scores, split.test)
        metrics = judge(found, split.test.labels)
    environment = describe_environment(settings)
    result = {
        "net": settings["net"],
        "split": str(split),
        "test": metrics,
        "epochs": len(history),
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        "guard": findings,
        "leakage": leakage,
        "environment": environment,
        **(extra or {}),
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    plot_history(history, out / "history.png")
    record = RunRecord(
        title=f"{settings['net']}, {out.name}",
        config=settings,
        environment=environment,
        split=split,
        leakage=leakage,
        history=history,
        guard=findings,
        test_scores=found,
        metrics=metrics,
    )
    write_report(record, out / "report.html")
    return out / "report.html"


def plot_history(history: list[dict[str, float]], target: Path) -> None:
    """Draws the loss, and the accuracy or the equal error rate, by epoch."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    second = "accuracy" if "accuracy" in history[0] or "val_accuracy" in history[0] else "eer"
    parts = {"": "training", "val_": "validation", "held_out_": "held-out style"}
    for axes, metric in zip(figure.subplots(1, 2), ("loss", second), strict=True):
        for name, label in ((f"{part}{metric}", label) for part, label in parts.items()):
            points = [(row["epoch"], row[name]) for row in history if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(target, dpi=120)


def predict(scores: keras.Model, palms: Palms, batch_size: int = 64) -> NDArray[np.float32]:
    """Similarities or probabilities float32 [N, C] of all images, in order."""
    parts = [scores(batch, training=False) for batch in in_batches(palms, batch_size)]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]).astype(np.float32)


def judge(found: NDArray[np.float32], labels: NDArray[np.int32]) -> dict[str, Any]:
    """Accuracy with its count and 95 % interval, and top-5."""
    order = np.argsort(-found, axis=1)
    right = int((order[:, 0] == labels).sum())
    return {
        "images": len(labels),
        "correct": right,
        "accuracy": right / len(labels),
        "accuracy_interval": wilson_interval(right, len(labels)),
        "top_5": float((order[:, :5] == labels[:, None]).any(axis=1).mean()),
    }


def describe_environment(settings: dict[str, Any]) -> dict[str, Any]:
    """What the run was computed with."""
    return {
        "backend": keras.backend.backend(),
        "precision": settings["precision"],
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
