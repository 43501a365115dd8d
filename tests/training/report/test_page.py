"""The report holds what a run was, shows nothing that is not its own, and is safe to open."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.database.palms import Palms
from training.database.split import Split
from training.leakage.find import Leakage, Pair
from training.report.page import Confusion, RunRecord, count_confusions, write_report

SIDE, IDENTITIES, SHOTS = 32, 4, 3


def make_part(prefix: str, names: tuple[str, ...]) -> Palms:
    count = IDENTITIES * SHOTS
    return Palms(
        pixels=np.random.default_rng(1).integers(0, 255, (count, SIDE, SIDE), np.uint8),
        rows=np.arange(count),
        labels=np.repeat(np.arange(IDENTITIES, dtype=np.int32), SHOTS),
        sessions=np.zeros(count, np.int32),
        hands=np.full(count, -1, np.int8),
        shots=np.arange(count, dtype=np.int32),
        identities=names,
        session_names=("s1",),
        files=tuple(f"{prefix}/{i}.png" for i in range(count)),
        sha256="",
    )


def make_record(names: tuple[str, ...] = ("p0", "p1", "p2", "p3"), **changes: Any) -> RunRecord:
    """Twelve test images, of which the last two are wrong."""
    parts = [make_part(name, names) for name in ("train", "validation", "test")]
    scores = np.eye(IDENTITIES, dtype=np.float32)[parts[2].labels]
    scores[10:, 0] = 2
    epochs = [
        {
            "epoch": epoch,
            "loss": 1.0 / epoch,
            "accuracy": 0.5 + epoch / 10,
            "val_loss": 1.2 / epoch,
            "val_accuracy": accuracy,
            "learning_rate": 1e-3,
            "seconds": 40.0,
        }
        for epoch, accuracy in ((1, 0.4), (2, 0.9), (3, 0.7))
    ]
    record = RunRecord(
        title="AlexNet",
        config={"net": "alexnet", "bands": (850, 940), "weights_file": None},
        environment={"libraries": {"keras": "3"}},
        split=Split(*parts, "session", "a note on the split"),
        leakage=Leakage((), (), 0, 5, 24).as_dict(),
        history=epochs,
        guard=[],
        test_scores=scores,
        metrics={"accuracy": 10 / 12},
    )
    return replace(record, **changes)


def render(record: RunRecord, folder: Path) -> str:
    write_report(record, folder / "report.html")
    return (folder / "report.html").read_text()


def text_of(page: str) -> str:
    """What a person reads."""
    page = re.sub(r"<(style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_headline_figures_are_shown(tmp_path: Path) -> None:
    text = text_of(render(make_record(), tmp_path))
    assert "Test accuracy 83.33% 10 of 12; 95 % interval 55.20% to 95.30%" in text
    assert "Best epoch 2 of 3; 90.00% in validation" in text
    assert "Training time 2 min 00 s 40.0 s an epoch" in text
    assert "a note on the split" in text
    assert "No copies found." in text
    assert "guard found nothing wrong" in text


def test_curves_show_chance(tmp_path: Path) -> None:
    page = render(make_record(), tmp_path)
    assert page.count("<svg") == 4
    assert "knows nothing: ln 4 = 1.39" in page
    assert "chance: 1 of 4" in page


def test_ln_c_is_no_measure_of_cosfaces_loss(tmp_path: Path) -> None:
    page = render(make_record(config={"head": "embedding"}), tmp_path)
    assert "knows nothing" not in page
    assert "chance: 1 of 4" in page


def test_confusions_are_counted_by_true_and_found_identity(tmp_path: Path) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
    found = np.array([0, 1, 1, 0, 1, 2, 0])
    assert count_confusions(found, labels) == [
        Confusion(0, 1, 2, 3),
        Confusion(1, 0, 1, 2),
        Confusion(2, 0, 1, 2),
    ]
    assert "p3 p0 2 of 3" in text_of(render(make_record(), tmp_path))


def test_wrong_images_stand_beside_both_identities(tmp_path: Path) -> None:
    page = render(make_record(), tmp_path)
    assert page.count("data:image/jpeg;base64,") == 2 * 3
    text = text_of(page)
    assert "p3: 2 of 3 test images wrong" in text
    assert "test/10.png shows p3 score 1.000 taken for p0 score 2.000" in text
    assert "This page contains 6 images of palms. Handle it as biometric data" in text


def test_a_page_without_mistakes_has_no_images(tmp_path: Path) -> None:
    record = make_record()
    right = np.eye(IDENTITIES, dtype=np.float32)[record.split.test.labels]
    page = render(replace(record, test_scores=right), tmp_path)
    assert "<img" not in page
    assert "biometric" not in page
    assert "No test image was taken for another" in page


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    names = (hostile, r"$\bad{", "&lt;", "p3")
    page = render(make_record(names, guard=[hostile], title=hostile), tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert r"$\bad{" in page


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = render(make_record(), tmp_path)
    assert not re.findall(r"(?:https?:)?//[a-z]", page.replace("&#39;", ""))
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "url(" not in page.replace("url(#", "")


def test_copies_are_warned_of(tmp_path: Path) -> None:
    pair = Pair("train/1.png", "test/2.png", "training", "test", 0)
    text = text_of(render(make_record(leakage=Leakage((pair,), (), 3, 0, 24).as_dict()), tmp_path))
    assert "1 copies of training or validation photographs are among the held-out ones" in text
    assert "train/1.png (training) and test/2.png (test)" in text


def test_a_test_of_strangers_shows_its_metrics(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.5, "val_rank_1": 0.8, "val_eer": 0.1}]
    record = make_record(test_scores=None, metrics={"rank_1": 0.875, "eer": 0.031}, history=history)
    text = text_of(render(record, tmp_path))
    assert "Test: Rank-1 87.50%" in text
    assert "Test: Equal error rate 3.10%" in text
    assert "Test accuracy" not in text
    assert "Who was taken for whom" not in text


def test_a_history_with_gaps_is_drawn(tmp_path: Path) -> None:
    history = [{"loss": float("nan")}, {"loss": 2.0, "val_accuracy": float("nan")}]
    page = render(make_record(history=history), tmp_path)
    assert page.count("<svg") == 2
    assert render(make_record(history=[]), tmp_path).count("<svg") == 1


def test_a_thousand_identities_stay_legible(tmp_path: Path) -> None:
    """No more labels than fit, and a mark for each confusion."""
    count = 1000
    part = replace(
        make_part("x", tuple(f"q{i}" for i in range(count))), labels=np.arange(12, dtype=np.int32)
    )
    scores = np.zeros((12, count), np.float32)
    scores[:, 999] = 1
    record = make_record(test_scores=scores, split=Split(part, part, part, "session"))
    page = render(record, tmp_path)
    assert len(re.findall(r">q\d+</text>", page)) == 2 * 20


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    record = make_record(test_scores=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"test scores are \(3, 2\), .* needs \(12, 4\)"):
        render(record, tmp_path)
    assert list(tmp_path.iterdir()) == []
