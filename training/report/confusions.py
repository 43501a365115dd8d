"""Describes which identities a net confused in a closed-set test, for a run's report."""

from base64 import b64encode
from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.database.palms import Palms
from training.database.split import Split
from training.metrics.rates import wilson_interval
from training.report.plots import draw_confusion

PAIRS_SHOWN = 15
IDENTITIES_SHOWN = 6
MISTAKES_SHOWN = 3
"""Mistakes shown for each identity. Images of palms are biometric data, so the page shows few."""

JPEG_QUALITY = 85

Scores = NDArray[np.float32]


def count_confusions(
    found: NDArray[np.int64], labels: NDArray[np.int32]
) -> list[tuple[int, int, int, int]]:
    """Returns every pair of a true and a wrong identity, the most frequent first.

    Args:
        found: int [N], labels found.
        labels: int [N], true labels.

    Returns:
        For each pair: the true label, the wrong label, the number of images with this confusion,
        and the number of all images of the true label.
    """
    wrong = found != labels
    totals = Counter(labels.tolist())
    pairs = Counter(zip(labels[wrong].tolist(), found[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(true, wrong, count, totals[true]) for (true, wrong), count in ordered]


def describe_confusions(split: Split, scores: Scores) -> dict[str, Any]:
    """Returns the template's values for a closed-set test, by name.

    Args:
        split: its test part has N images of C identities.
        scores: float32 [N, C], similarities or probabilities; the highest of a row is the answer.

    Raises:
        ValueError: if the scores have another shape.
    """
    test = split.test
    expected = (len(test), len(test.identities))
    if scores.shape != expected:
        raise ValueError(
            f"test scores have the shape {scores.shape}, but the test part has {expected[0]} "
            f"images of {expected[1]} identities: pass scores of the shape {expected}"
        )
    found = scores.argmax(axis=1)
    matrix = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(matrix, (test.labels, found), 1)
    confusions = count_confusions(found, test.labels)
    worst = _find_worst(split, found, scores)
    return {
        "accuracy": _describe_accuracy(found, test.labels),
        "matrix": draw_confusion(matrix, test.identities),
        "confusions": [
            (test.identities[true], test.identities[wrong], count, of)
            for true, wrong, count, of in confusions[:PAIRS_SHOWN]
        ],
        "confusions_left_out": max(len(confusions) - PAIRS_SHOWN, 0),
        "worst": worst,
        "image_count": sum(1 + len(m["others"]) for one in worst for m in one["mistakes"]),
    }


def _describe_accuracy(found: NDArray[np.int64], labels: NDArray[np.int32]) -> dict[str, str]:
    right, count = int((found == labels).sum()), len(labels)
    low, high = wilson_interval(right, count)
    return {
        "name": "Test accuracy",
        "value": f"{right / count:.2%}",
        "note": f"{right:,} of {count:,}; 95 % interval {low:.2%} to {high:.2%}",
    }


def _find_worst(split: Split, found: NDArray[np.int64], scores: Scores) -> list[dict[str, Any]]:
    """Returns the identities with the most wrong answers, each with some of its wrong images."""
    test = split.test
    wrong = np.flatnonzero(found != test.labels)
    errors = Counter(test.labels[wrong].tolist()).most_common(IDENTITIES_SHOWN)
    return [
        {
            "identity": test.identities[label],
            "errors": count,
            "of": int((test.labels == label).sum()),
            "mistakes": [
                _describe_mistake(split, int(i), int(found[i]), scores[i])
                for i in wrong[test.labels[wrong] == label][:MISTAKES_SHOWN]
            ],
        }
        for label, count in errors
    ]


def _describe_mistake(split: Split, i: int, found: int, scores: Scores) -> dict[str, Any]:
    """Returns a test image, and a training image of the true and of the wrong identity."""
    test, train = split.test, split.train
    others = (("true identity", int(test.labels[i])), ("identified as", found))
    return {
        "image": _to_data_url(test, i),
        "file": test.files[i],
        "others": [
            {
                "role": role,
                "identity": test.identities[label],
                "score": f"{scores[label]:.3f}",
                "image": _to_data_url(train, int(rows[0])),
            }
            for role, label in others
            if len(rows := np.flatnonzero(train.labels == label))
        ],
    }


def _to_data_url(palms: Palms, index: int) -> str:
    file = BytesIO()
    Image.fromarray(palms.images(np.array([index]))[0]).save(file, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"
