"""What a person meets who gets something wrong: one line that says what to do, exit code 2."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from training.__main__ import main
from training.database.image_files import ImageFile

Spoil = Callable[[Path, pytest.MonkeyPatch], list[str]]


def fill(folder: Path, identities: int, sessions: int, shots: int) -> None:
    """Writes textured images, <identity>/<session>/<image>."""
    from training.commands.synthesize import SynthesizeConfig, synthesize

    config = SynthesizeConfig(out=folder, identities=identities, sessions=sessions, shots=shots)
    synthesize(config)


def empty(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    folder.mkdir()
    return []


def one_class(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 1, 3, 2)
    return []


def corrupt_in_the_middle(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 2, 3, 2)
    image = folder / "p002" / "s1" / "01.png"
    image.write_bytes(image.read_bytes()[:500])
    return []


def unknown_layout(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 2, 3, 1)
    return ["--layout", "fyodor"]


def too_few_for_the_split(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 2, 1, 2)
    return ["--split", "session"]


def disk_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 2, 3, 1)

    def no_room(images: object, shape: tuple[int, ...], scratch: Path) -> ImageFile:
        raise OSError(errno.ENOSPC, "No space left on device", str(scratch))

    monkeypatch.setattr(ImageFile, "write", staticmethod(no_room))
    return []


def unknown_weights_file(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 2, 3, 2)
    return ["--preset", "transfer", "--weights-file", str(folder / "none.h5")]


def copies_on_both_sides(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    fill(folder, 3, 3, 2)
    copy = folder / "p001" / "s3" / "01.png"
    copy.write_bytes((folder / "p001" / "s1" / "01.png").read_bytes())
    return []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty, "no images"),
        (one_class, "identit"),
        (corrupt_in_the_middle, r"p002/s1/01.png: .*python -m training check --data"),
        (unknown_layout, "fyodor"),
        (too_few_for_the_split, "session"),
        (disk_full, "the disk is full"),
        (unknown_weights_file, r"none.h5 is not there: --weights-file"),
        (copies_on_both_sides, r"p001/s1/01.png.*p001/s3/01.png.*--allow-leaks"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_database_is_one_line_and_exit_code_2_and_no_run(
    spoil: Spoil,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = spoil(tmp_path / "palms", monkeypatch)
    capsys.readouterr()
    command = ["train", "--net", "vgg16", "--data", str(tmp_path / "palms"), "--size-px", "32"]
    assert main([*command, "--out", str(tmp_path / "run"), *options]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1].split("\r")[-1].strip()
    assert last.startswith("train: ")
    assert re.search(message, last), last
    assert not (tmp_path / "run").exists()


def test_imagenet_weights_for_alexnet_are_refused_with_the_reason(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--net", "alexnet", "--data", str(database), "--size-px", "32"]
    assert main([*command, "--out", str(tmp_path / "run"), "--preset", "transfer"]) == 2
    assert "Keras has no ImageNet weights for alexnet" in capsys.readouterr().err


def test_an_option_overrides_its_preset(capsys: pytest.CaptureFixture[str]) -> None:
    from training.__main__ import _parse
    from training.fit.settings import TrainConfig

    options = ["--net", "vgg16", "--data", "d", "--out", "o", "--bands", "850,940"]
    posted = _parse(
        "train", TrainConfig, [*options, "--preset", "as-posted", "--init", "he_normal"]
    )
    assert (posted.head, posted.wiring, posted.init) == ("paper", "disconnected", "he_normal")
    assert posted.bands == (850, 940)
    assert _parse("train", TrainConfig, options).head == "embedding"
    with pytest.raises(SystemExit):
        _parse("train", TrainConfig, [*options, "--head", "none"])
    assert "invalid choice: 'none'" in capsys.readouterr().err


def test_help_names_every_option_of_the_recipe_and_the_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "the question's seven layers" in text  # of the recipe
    assert "where a database has several" in text  # of the data
