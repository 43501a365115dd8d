"""`python -m app inspect`, with the shipped finder."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.__main__ import main
from tests.app.conftest import encode

REPOSITORY = Path(__file__).parents[2]
HAND = REPOSITORY / "samples" / "hands" / "known" / "p014.jpg"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes to a working directory without a .env."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PALM_MODELS_DIR", str(REPOSITORY / "models_store"))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_good_photograph_is_usable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(HAND)]) == 0
    (found,) = lines(capsys)
    assert (found["file"], found["usable"], found["advice"]) == (str(HAND), True, [])


def test_every_file_gets_a_line_whatever_is_wrong_with_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slope = np.tile(np.linspace(0, 255, 200), (200, 1)).astype(np.uint8)
    files = {"cut.png": encode(slope)[:50], "slope.png": encode(slope)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert main(["inspect", "cut.png", "missing.png", "slope.png", str(HAND)]) == 1
    cut, missing, nothing, hand = lines(capsys)
    assert [one["usable"] for one in (cut, missing, nothing, hand)] == [False, False, False, True]
    for one, words in ((cut, "truncated"), (missing, "No such file"), (nothing, "no open hand")):
        assert words in str(one["advice"])
        assert (one["region"], one["quality"]) == (None, None)


def test_drawings_of_files_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    other = tmp_path / "other" / HAND.name
    other.parent.mkdir()
    other.write_bytes(HAND.read_bytes())
    assert main(["inspect", str(HAND), str(other), "--out", "drawings"]) == 0
    written = sorted(path.name for path in (tmp_path / "drawings").iterdir())
    assert written == ["1-p014.found.png", "1-p014.palm.png", "2-p014.found.png", "2-p014.palm.png"]
    with Image.open(tmp_path / "drawings" / "1-p014.palm.png") as palm:
        assert palm.size == (224, 224)


def test_a_store_without_a_finder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PALM_MODELS_DIR", str(tmp_path))
    assert main(["inspect", str(HAND)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no version of finder" in line
