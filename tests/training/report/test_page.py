"""The report shows what a run was and nothing else, in words, and is safe to open."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.toy_palms import palms_of
from training.database.palms import Palms
from training.database.split import Split
from training.leakage.find import Leakage, Pair
from training.report.confusions import count_confusions
from training.report.page import RunRecord, write_report

SIDE, IDENTITIES, SHOTS = 32, 4, 3


def make_part(prefix: str, names: tuple[str, ...]) -> Palms:
    count = IDENTITIES * SHOTS
    return palms_of(
        np.random.default_rng(1).integers(0, 255, (count, SIDE, SIDE), np.uint8),
        np.repeat(np.arange(IDENTITIES), SHOTS),
        identities=names,
        files=tuple(f"{prefix}/{i}.png" for i in range(count)),
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
        split=Split(parts[0], parts[1], parts[2], "session", "a note on the split"),
        leakage=Leakage((), (), 0, 5, 24).as_dict(),
        history=epochs,
        guard=[],
        test_scores=scores,
        metrics={"accuracy": 10 / 12},
    )
    return replace(record, **changes)


def make_bare_record(**changes: Any) -> RunRecord:
    """Without drawings, for what stands above and below them."""
    return make_record(history=[], test_scores=None, **changes)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the record as `make_record` has it."""
    return render(make_record(), tmp_path_factory.mktemp("page"))


def render(record: RunRecord, folder: Path) -> str:
    write_report(record, folder / "report.html")
    return (folder / "report.html").read_text()


def text_of(page: str) -> str:
    """What a person reads outside the drawings."""
    page = re.sub(r"<(style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_headline_figures_are_shown(page: str) -> None:
    text = text_of(page)
    assert "Test accuracy 83.33% 10 of 12; 95 % interval 55.20% to 95.30%" in text
    assert "Best epoch 2 of 3; validation accuracy 90.00%" in text
    assert "Training time 2 min 00 s 40.0 s per epoch" in text
    assert "Split by session: a note on the split." in text
    assert "No copies found." in text
    assert "bands 850, 940" in text
    assert "libraries.keras 3" in text


def test_of_equal_epochs_the_last_is_the_best(tmp_path: Path) -> None:
    history = [{"epoch": epoch, "val_accuracy": min(epoch, 2) / 2} for epoch in (1, 2, 3, 4)]
    record = make_record(history=history, test_scores=None)
    assert "Best epoch 4 of 4" in text_of(render(record, tmp_path))


def test_a_run_without_problems_says_what_was_checked(page: str) -> None:
    assert "The training guard reported no problem. It checks for" in text_of(page)
    assert '"box good"' in page


def test_problems_that_the_guard_reported_are_shown(tmp_path: Path) -> None:
    page = render(make_bare_record(guard=["epoch 1: conv1 died"]), tmp_path)
    text = text_of(page)
    assert "The training guard reported problems epoch 1: conv1 died" in text
    assert "no problem" not in text
    assert '"box good"' not in page


def test_a_guard_that_was_off_reports_nothing_good(tmp_path: Path) -> None:
    text = text_of(render(make_bare_record(config={"guard": "off"}), tmp_path))
    assert "The training guard was off." in text
    assert "no problem" not in text


def test_notes_are_above_every_figure_and_nothing_is_praised_beside_them(tmp_path: Path) -> None:
    notes = ["Accuracy: 90 % before, 90 % after.", "0 % of the change was kept."]
    page = render(make_record(notes=notes, history=[]), tmp_path)
    text = text_of(page)
    assert text.index(notes[0]) < text.index(notes[1]) < text.index("Test accuracy")
    assert '"box good"' not in page


def test_a_run_with_copies_across_its_parts_is_not_praised(tmp_path: Path) -> None:
    pair = Pair("train/1.png", "test/2.png", "training", "test", 0)
    page = render(make_bare_record(leakage=Leakage((pair,), (), 3, 0, 24).as_dict()), tmp_path)
    text = text_of(page)
    assert "1 pair of copies found across the parts of the split" in text
    assert "train/1.png (training) and test/2.png (test)" in text
    assert '"box good"' not in page


def test_the_loss_of_guessing_is_drawn_and_explained(page: str) -> None:
    assert "guessing: ln 4 = 1.39" in page
    assert "guessing: 1 of 4" in page
    assert "Its loss is the natural logarithm of 4, ln 4 = 1.39." in text_of(page)


def test_the_margin_loss_of_an_embedding_head_has_no_line_of_guessing(tmp_path: Path) -> None:
    page = render(make_record(config={"head": "embedding"}, test_scores=None), tmp_path)
    assert "guessing: ln" not in page
    assert "guessing: 1 of 4" in page


def test_confusions_are_counted_by_true_and_found_identity(page: str) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
    found = np.array([0, 1, 1, 0, 1, 2, 0])
    assert count_confusions(found, labels) == [(0, 1, 2, 3), (1, 0, 1, 2), (2, 0, 1, 2)]
    assert "p3 p0 2 of 3" in text_of(page)


def test_wrong_images_stand_beside_both_identities(page: str) -> None:
    assert page.count("data:image/jpeg;base64,") == 2 * 3
    text = text_of(page)
    assert "p3: 2 of 3 test images wrong" in text
    assert "test/10.png true identity: p3 score 1.000 identified as: p0 score 2.000" in text
    assert "This page contains 6 images of palms. They are biometric data" in text


def test_a_page_without_mistakes_has_no_images(tmp_path: Path) -> None:
    record = make_record()
    right = np.eye(IDENTITIES, dtype=np.float32)[record.split.test.labels]
    page = render(replace(record, test_scores=right, history=[]), tmp_path)
    assert "<img" not in page
    assert "biometric" not in page
    assert "Every test image was identified correctly." in page


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    names = (hostile, r"$\bad{", "&lt;", "p3")
    record = make_record(names, guard=[hostile], notes=[hostile], title=hostile, history=[])
    page = render(record, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert r"$\bad{" in page


def test_the_page_asks_nothing_of_the_network(page: str) -> None:
    sources = re.findall(r"""\b(?:src|href)=["']([^"']*)""", page)
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "url(" not in page.replace("url(#", "")
    assert "@import" not in page


def test_equal_runs_write_equal_pages(page: str, tmp_path: Path) -> None:
    assert render(make_record(), tmp_path) == page


def test_a_test_on_unseen_identities_shows_its_metrics(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.5, "val_rank_1": 0.8, "val_eer": 0.1}]
    record = make_record(test_scores=None, metrics={"rank_1": 0.875, "eer": 0.031}, history=history)
    page = render(record, tmp_path)
    text = text_of(page)
    assert "Test rank-1 87.50% identities that the net was not trained on" in text
    assert "Test equal error rate 3.10%" in text
    assert "Best epoch 1 of 1; validation rank-1 80.00%" in text
    assert "Equal error rate in validation" in text
    assert "Test accuracy" not in text
    assert "Confusions" not in text
    # Other identities are searched in validation: 1 of 4 is not what guessing gets there.
    assert "guessing: 1 of 4" not in page


def test_epochs_without_a_finite_value_are_left_out(tmp_path: Path) -> None:
    history = [{"loss": float("nan")}, {"loss": 2.0, "val_accuracy": float("nan")}]
    page = render(make_record(history=history), tmp_path)
    assert page.count("<svg") == 2  # loss and confusions
    assert "Accuracy The value was not a finite number in any epoch" in text_of(page)


def test_a_run_without_an_epoch_says_so(tmp_path: Path) -> None:
    page = render(make_bare_record(), tmp_path)
    assert "The run has no finished epoch, so there are no curves." in page
    assert "<svg" not in page


def test_a_thousand_identities_stay_legible(tmp_path: Path) -> None:
    """No more names than fit."""
    count = 1000
    part = replace(
        make_part("x", tuple(f"q{i}" for i in range(count))), labels=np.arange(12, dtype=np.int32)
    )
    scores = np.zeros((12, count), np.float32)
    scores[:, 999] = 1
    split = Split(part, part, part, "session")
    record = make_record(test_scores=scores, split=split, history=[])
    page = render(record, tmp_path)
    assert len(re.findall(r">q\d+</text>", page)) == 2 * 20


def test_scores_of_another_shape_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    record = make_record(test_scores=np.zeros((3, 2), np.float32))
    message = r"scores have the shape \(3, 2\), but the test part has 12 images of 4 identities"
    with pytest.raises(ValueError, match=message):
        render(record, tmp_path)
    assert list(tmp_path.iterdir()) == []
