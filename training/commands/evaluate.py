"""Evaluates exported nets on the test part and on strangers that did not calibrate them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.matching.calibration import FPIR_TARGET, Calibration, Limits
from app.matching.decision import Answers, decide
from app.matching.fusion import Fusion
from app.matching.templates import TrainedTemplates
from app.nets.fusion_manifest import FusionEntry
from app.nets.manifest import Manifest
from training.database.palms import DataOptions, Palms
from training.database.split import Split, load_split
from training.fit.verdict import Verdict
from training.metrics.rates import wilson_interval
from training.nets.recipe import NETS
from training.report.files import write_text
from training.versions.fuse import find_fusion
from training.versions.read import Version, open_highest_of_split
from training.versions.strangers import load_strangers

WORST = 10
"""Number of identities in the list of those with most errors."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig(DataOptions):
    """Measures how often exported nets are right. Three nets take some minutes on two cores.

    Give the database and the options that the nets were trained with; its test part is measured.

    Attributes:
        strangers: folders of palms of identities that are not in `data`, in any layout. They must
            not be those that calibrated the nets.
        store: the models store.
        nets: names of the nets; the highest version of each is measured, alone and fused.
        out: the report, a JSON file. A Markdown file of the same name is written beside it.
    """

    strangers: tuple[Path, ...]
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS
    out: Path = Path("runs/evaluation.json")


@dataclass(frozen=True, slots=True)
class _Matcher:
    """A net, or all nets fused.

    Attributes:
        known: float32 [N, C], scores of the test images.
        strangers: float32 [M, C], scores of the strangers' images.
        limits: what each identity's score must reach.
    """

    known: Float32
    strangers: Float32
    limits: Limits

    def decide(self, scores: Float32) -> Answers:
        """Decides as the service does with the trained identities alone."""
        return decide(scores, self.limits.scores, self.limits.temperatures)

    def probabilities(self) -> Float64:
        """Returns each identity's probability float64 [N, C]; the rest to 1 is "no match"."""
        return self.decide(self.known).posteriors[:, 1:]


def evaluate(config: EvaluateConfig) -> Verdict:
    """Measures accuracy, top-5 and open-set errors of each net and of all nets fused.

    Raises:
        ValueError: if a net or its fusion is missing, a net was not trained on this split, or the
            strangers calibrated a net or share an image with `data`.
        OSError: if a database cannot be read, or the report cannot be written.
    """
    split = load_split(config)
    test = split.test
    nets = open_highest_of_split(config.store, config.nets, split)
    fusion = find_fusion(config.store, [net.key for net in nets]) if len(nets) > 1 else None
    strangers = load_strangers(config.strangers, split, config)
    _require_new(strangers, config.strangers, [net.manifest for net in nets], fusion)
    matchers = dict(zip(config.nets, (_match(net, test, strangers) for net in nets), strict=True))
    alone = list(matchers.values())
    if fusion:
        matchers["fused"] = _fuse(alone, fusion.fusion(config.nets), nets[0].trained)
    report = {
        "test_images": len(test),
        "test_part": _describe_test(split),
        "classes": f"{config.classes}s",
        "identities": len(test.identities),
        "stranger_images": sum(map(len, strangers)),
        "strangers": sum(len(np.unique(palms.labels)) for palms in strangers),
        "nets": {name: _rates(one, test) for name, one in matchers.items()},
        "other_fusions": _other_fusions(alone, test),
        "worst_identities": _worst_identities(list(matchers.values())[-1], test),
    }
    write_text(config.out, json.dumps(report, indent=1) + "\n")
    table = as_markdown(report)
    write_text(config.out.with_suffix(".md"), table)
    print(table)
    return Verdict(config.out, _summarize(report))


def _require_new(
    strangers: Sequence[Palms],
    folders: Sequence[Path],
    manifests: Sequence[Manifest],
    fusion: FusionEntry | None,
) -> None:
    """Refuses strangers that calibrated what is measured: their figures would be too good."""
    calibrated = {digest for one in manifests for digest in one.strangers}
    calibrated |= set(fusion.strangers if fusion else ())
    for palms, folder in zip(strangers, folders, strict=True):
        if palms.sha256 in calibrated:
            raise ValueError(
                f"{folder} calibrated these nets, so it cannot measure them: name other strangers"
            )


def _match(net: Version, test: Palms, strangers: Sequence[Palms]) -> _Matcher:
    """Compares all images with the net's trained identities."""
    unknown = np.concatenate([net.scores(palms) for palms in strangers])
    return _Matcher(net.scores(test), unknown, _limits(net.calibration, net.trained))


def _fuse(alone: Sequence[_Matcher], fusion: Fusion, trained: TrainedTemplates) -> _Matcher:
    known, unknown = ([one.known for one in alone], [one.strangers for one in alone])
    limits = _limits(fusion.calibration, trained)
    return _Matcher(fusion.combine(known), fusion.combine(unknown), limits)


def _limits(calibration: Calibration, trained: TrainedTemplates) -> Limits:
    """Returns the limits at which strangers are accepted at `FPIR_TARGET`."""
    counts = trained.counts
    return calibration.at(FPIR_TARGET / len(counts), counts, probes=1, impostors=None)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a Markdown table for the model card."""
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
    for name, accuracy in report["other_fusions"].items():
        lines.append(f"| {name.replace('_', ' ')} | {accuracy:.2%} | | | | |")
    return "\n".join(lines) + "\n"


def _describe_test(split: Split) -> str:
    if split.kind == "session":
        return f"session {split.test.session_names[-1]}"
    return f"split by {split.kind}, seed {split.seed}"


def _rates(matcher: _Matcher, test: Palms) -> dict[str, Any]:
    order = np.argsort(-matcher.probabilities(), axis=1)
    correct = order[:, 0] == test.labels
    top_5 = (order[:, :5] == test.labels[:, None]).any(axis=1)
    identified = correct & (matcher.decide(matcher.known).decisions == "match")
    false_positives = matcher.decide(matcher.strangers).decisions == "match"
    return {
        "correct": int(correct.sum()),
        "accuracy": float(correct.mean()),
        "accuracy_interval": wilson_interval(int(correct.sum()), len(correct)),
        "top_5": float(top_5.mean()),
        "identified": float(identified.mean()),
        "false_positives": int(false_positives.sum()),
        "false_positive_rate": float(false_positives.mean()),
    }


def _other_fusions(nets: list[_Matcher], test: Palms) -> dict[str, float]:
    """Returns the accuracy of a majority vote and of the mean of all probabilities."""
    probabilities = np.stack([net.probabilities() for net in nets])
    majority = majority_vote(probabilities)
    mean = probabilities.mean(axis=0).argmax(axis=1)
    return {
        "majority_vote": float((majority == test.labels).mean()),
        "mean_probability": float((mean == test.labels).mean()),
    }


def majority_vote(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Returns the identity that most nets vote for; the most confident net decides a tie.

    Args:
        probabilities: [nets, images, identities], from 0 to 1.

    Returns:
        int64 [images].
    """
    votes, confidences = probabilities.argmax(axis=2), probabilities.max(axis=2)
    supporters = (votes[:, None] == votes[None]).sum(axis=1)  # nets that vote as this net does
    winners = (supporters + confidences / 2).argmax(axis=0)  # [images]; half is less than a vote
    return np.take_along_axis(votes, winners[None], axis=0)[0]


def _worst_identities(matcher: _Matcher, test: Palms) -> list[dict[str, Any]]:
    """Returns the identities with most errors, and those that they are confused with."""
    found = matcher.decide(matcher.known).best
    errors = Counter(test.labels[found != test.labels].tolist())
    return [
        {
            "identity": test.identities[label],
            "errors": count,
            "images": int((test.labels == label).sum()),
            "confused_with": {
                test.identities[other]: times
                for other, times in Counter(found[test.labels == label].tolist()).items()
                if other != label
            },
        }
        for label, count in errors.most_common(WORST)
    ]


def _summarize(report: dict[str, Any]) -> str:
    """Returns the rates of the last matcher, which is the fused one if there are several nets."""
    name, rates = list(report["nets"].items())[-1]
    return (
        f"{name} identifies {rates['identified']:.2%} of {report['test_images']:,} test images and "
        f"accepts {rates['false_positives']} of {report['stranger_images']:,} images of strangers "
        f"({rates['false_positive_rate']:.2%}, target {FPIR_TARGET:.0%})"
    )
