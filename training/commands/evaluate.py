"""Judges exported nets on the test session and on strangers that nothing was chosen by."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.database.palms import DataOptions, Palms, load_palms
from training.database.split import Split, load_split, split_strangers
from training.metrics.calibration import FPIR_TARGET, Calibration, posterior
from training.metrics.rates import wilson_interval
from training.nets.build import NETS
from training.versions.fuse import read_fusion, weighted_sum
from training.versions.read import load_highest

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig(DataOptions):
    """What `python -m training evaluate` does; two minutes for three nets on two cores.

    Give it the database that the nets were trained on and the options they were trained with; the
    test part is judged.

    Attributes:
        strangers: palms of nobody in `data`, in any layout; their second half is the test.
        store: models_store.
        nets: names of the nets; the highest version of each is judged.
        out: report; a JSON file, with a Markdown file of the same name beside it.
    """

    strangers: Path
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS
    out: Path = Path("evaluation.json")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A matcher's probabilities [N, 1 + C] of nobody (first) and of every identity."""

    known: Array
    strangers: Array


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measures accuracy, top-5 and open-set errors per net and fused; writes the report.

    Returns:
        What the JSON file holds.
    """
    split = load_split(config)
    test = split.test
    nets = load_highest(config.store, config.nets, split)
    _, strangers = split_strangers(
        load_palms(config.strangers, config.size_px, scratch=config.scratch)
    )
    known = [net.similarities(test) for net in nets]
    unknown = [net.similarities(strangers) for net in nets]
    judged = {
        name: _judge(net.calibration, *similarities)
        for name, net, *similarities in zip(config.nets, nets, known, unknown, strict=True)
    }
    alone = list(judged.values())
    if len(nets) > 1:
        weights, calibration = read_fusion(config.store, [net.key for net in nets])
        sums = weighted_sum(weights, known), weighted_sum(weights, unknown)
        judged["fused"] = _judge(calibration, *sums)
    report = {
        "test_images": len(test),
        "test_part": _describe(split),
        "classes": f"{config.classes}s",
        "identities": len(test.identities),
        "stranger_images": len(strangers),
        "strangers": len(np.unique(strangers.labels)),
        "nets": {name: _figures(one, test) for name, one in judged.items()},
        "fusion": _other_fusions(alone, test),
        "worst_identities": _worst(list(judged.values())[-1], test),
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps(report, indent=1) + "\n")
    config.out.with_suffix(".md").write_text(as_markdown(report))
    return report


def as_markdown(report: dict[str, Any]) -> str:
    """The table of the model card."""
    lines = [
        f"{report['test_images']} test images of {report['identities']} {report['classes']} "
        f"({report['test_part']}), {report['stranger_images']} images of "
        f"{report['strangers']} strangers.",
        "",
        "| | accuracy | 95 % interval | top-5 | known: identified | strangers: accepted |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in report["nets"].items():
        low, high = row["accuracy_interval"]
        lines.append(
            f"| {name} | {row['accuracy']:.2%} ({row['correct']}) | {low:.2%} to {high:.2%} "
            f"| {row['top_5']:.2%} | {row['identified']:.2%} "
            f"| {row['false_positive_rate']:.2%} ({row['false_positives']}) |"
        )
    for name, accuracy in report["fusion"].items():
        lines.append(f"| {name.replace('_', ' ')} | {accuracy:.2%} | | | | |")
    return "\n".join(lines) + "\n"


def _describe(split: Split) -> str:
    """Which images the test has."""
    if split.kind == "session":
        return f"session {split.test.session_names[-1]}"
    return f"split by {split.kind}, seed {split.seed}"


def _judge(calibration: Calibration, known: Array, strangers: Array) -> _Judged:
    """Similarities as probabilities, at the threshold the service takes for this gallery."""
    threshold = calibration.threshold_at(FPIR_TARGET / known.shape[1])
    return _Judged(
        posterior(known, threshold, calibration.temperature),
        posterior(strangers, threshold, calibration.temperature),
    )


def _figures(judged: _Judged, test: Palms) -> dict[str, Any]:
    identities = judged.known[:, 1:]
    order = np.argsort(-identities, axis=1)
    right = order[:, 0] == test.labels
    top_5 = (order[:, :5] == test.labels[:, None]).any(axis=1)
    identified = right & _accepted(judged.known)
    false_positives = _accepted(judged.strangers)
    return {
        "correct": int(right.sum()),
        "accuracy": float(right.mean()),
        "accuracy_interval": wilson_interval(int(right.sum()), len(right)),
        "top_5": float(top_5.mean()),
        "identified": float(identified.mean()),
        "false_positives": int(false_positives.sum()),
        "false_positive_rate": float(false_positives.mean()),
    }


def _accepted(posteriors: Array) -> NDArray[np.bool_]:
    """Where the service answers with a match: above the threshold, and likelier than not."""
    best = posteriors[:, 1:].max(axis=1)
    return (best >= posteriors[:, 0]) & (best >= 0.5)


def _other_fusions(nets: list[_Judged], test: Palms) -> dict[str, float]:
    """Majority vote (a tie goes to the most confident net) and mean of probabilities."""
    mean = np.mean([net.known[:, 1:] for net in nets], axis=0).argmax(axis=1)
    votes = np.stack([net.known[:, 1:].argmax(axis=1) for net in nets])
    sure = np.stack([net.known[:, 1:].max(axis=1) for net in nets]).argmax(axis=0)
    majority = np.empty(len(test), np.int64)
    for i, column in enumerate(votes.T):
        winner, count = Counter(column.tolist()).most_common(1)[0]
        majority[i] = winner if count > 1 else column[sure[i]]
    return {
        "majority_vote": float((majority == test.labels).mean()),
        "mean_probability": float((mean == test.labels).mean()),
    }


def _worst(judged: _Judged, test: Palms, count: int = 10) -> list[dict[str, Any]]:
    """The identities most often taken for others, and for whom."""
    found = judged.known[:, 1:].argmax(axis=1)
    errors = Counter(test.labels[found != test.labels].tolist())
    return [
        {
            "identity": test.identities[label],
            "errors": wrong,
            "images": int((test.labels == label).sum()),
            "taken_for": {
                test.identities[other]: times
                for other, times in Counter(found[test.labels == label].tolist()).items()
                if other != label
            },
        }
        for label, wrong in errors.most_common(count)
    ]
