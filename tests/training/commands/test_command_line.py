"""The command line: help, options, errors, and what it keeps out of the standard error."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.__main__ import COMMANDS, main, read_config

ROOT = Path(__file__).parents[3]

TRAIN = ["train", "--net", "vgg16", "--data", "d", "--out", "o"]

OPTION = r"--\S+(, --no-\S+| [A-Z]+| \{\S+\}| \[.+\]) \S.* \((default: .*|required)\)"
"""A name, what it takes, its text, and its default."""


def unframe(text: str) -> str:
    """Returns a text in one line, without the frame around it."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


def read_help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns what --help prints; it must print no error."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the error that options are refused with, in one line."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return unframe(capsys.readouterr().err)


def test_help_lists_every_command_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    text = unframe(read_help(capsys))
    for name, summary in COMMANDS.items():
        assert f"• {name} {summary}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option_and_shows_its_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about, *options = re.split(r"\n[│ ] (?=--)", read_help(capsys, name))
    assert "Attributes" not in about
    assert options
    for option in options:
        assert re.fullmatch(OPTION, unframe(option)), option


def test_help_needs_no_keras_and_tensorflow() -> None:
    program = """
import sys
from training.__main__ import COMMANDS, main
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit as end:
        assert end.code == 0
print("imported:", {"keras", "tensorflow", "jax", "matplotlib"} & set(sys.modules))
"""
    done = run("-c", program)
    assert done.stdout.endswith("imported: set()\n")
    assert done.stderr == ""


def test_options_become_the_configuration() -> None:
    options = ["--data", "db", "--from", "store/vgg16/2", "--out", "run", "--bands", "850", "940"]
    config = read_config("finetune", [*options, "--epochs", "3", "--allow-leaks"])
    assert (config.data, config.start) == (Path("db"), Path("store/vgg16/2"))
    assert (config.bands, config.epochs, config.allow_leaks) == ((850, 940), 3, True)
    assert read_config("finetune", options).allow_leaks is False


def test_an_option_overrides_its_preset() -> None:
    name, *options = TRAIN
    posted = read_config(name, [*options, "--preset", "as-posted", "--init", "he_normal"])
    assert (posted.head, posted.wiring, posted.init) == ("paper", "disconnected", "he_normal")
    assert read_config(name, options).head == "embedding"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected one of {synthesize, contact-sheet"),
        (["tran"], "Unrecognized options: tran"),
        (["check"], "--data PATH folder of the database"),
        (["synthesize", "--out", "o", "--identitys", "3"], "Perhaps you meant: --identities INT"),
        ([*TRAIN, "--prest", "student"], "Perhaps you meant: --preset"),
        ([*TRAIN, "--preset", "students"], "invalid choice 'students' for argument '--preset'"),
        (["check", "--data", "d", "--classes", "hand"], "Expected one of ('palm', 'person')"),
        (["synthesize", "--out", "o", "--shots", "few"], "Error parsing --shots"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refuse(capsys, *arguments)


Damage = Callable[[Path], list[str]]
"""Spoils a copy of a database; returns the options to train with."""


def remove_all(folder: Path) -> list[str]:
    shutil.rmtree(folder)
    folder.mkdir()
    return []


def leave_one_identity(folder: Path) -> list[str]:
    for identity in sorted(folder.iterdir())[1:]:
        shutil.rmtree(identity)
    return []


def cut_a_file(folder: Path) -> list[str]:
    image = folder / "p002" / "s1" / "01.png"
    image.write_bytes(image.read_bytes()[:500])
    return []


def leave_one_session(folder: Path) -> list[str]:
    for session in folder.glob("*/s[23]"):
        shutil.rmtree(session)
    return ["--split", "session"]


def fill_the_disk(_: Path) -> list[str]:
    return ["--size-px", "1000000"]  # a terabyte for each image


def miss_the_weights(folder: Path) -> list[str]:
    return ["--preset", "transfer", "--weights-file", str(folder / "none.h5")]


def copy_across_the_split(folder: Path) -> list[str]:
    shutil.copy(folder / "p001" / "s1" / "01.png", folder / "p001" / "s3" / "01.png")
    return []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_all, "no images"),
        (leave_one_identity, "identit"),
        (cut_a_file, r"p002/s1/01.png: .*python -m training check --data"),
        (leave_one_session, "session"),
        (fill_the_disk, r"make room there or name another folder with --scratch"),
        (miss_the_weights, r"none.h5 is not there: --weights-file"),
        (copy_across_the_split, r"p001/s1/01.png.*p001/s3/01.png.*--allow-leaks"),
    ],
)
def test_a_bad_database_is_one_line_and_exit_code_2_and_no_run(
    damage: Damage,
    message: str,
    database: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    palms, out = tmp_path / "palms", tmp_path / "run"
    shutil.copytree(database, palms)
    options = damage(palms)
    command = ["train", "--net", "vgg16", "--size-px", "32", "--precision", "float32"]
    options += ["--data", str(palms)]
    assert main([*command, "--out", str(out), *options]) == 2
    last = re.split("[\r\n]", capsys.readouterr().err.strip())[-1].strip()
    assert re.fullmatch(f"train: .*{message}.*", last)
    assert not out.exists()


def test_imagenet_weights_for_alexnet_are_refused_with_the_reason(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--net", "alexnet", "--data", str(database), "--size-px", "32"]
    assert main([*command, "--out", str(tmp_path / "run"), "--preset", "transfer"]) == 2
    assert "Keras has no ImageNet weights for alexnet" in capsys.readouterr().err


def run(*arguments: str, stdout: object = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Runs Python in the repository's root."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    sheet = ["contact-sheet", "--identities", "1", "--out", str(tmp_path / "sheet.png")]
    with Path("/dev/full").open("w") as full:
        done = run("-m", "training", *sheet, stdout=full)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "contact-sheet: the disk is full: make room, or choose another folder"


def test_a_training_is_silent_but_for_its_progress_and_says_that_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # TensorFlow sets it, too
    options = ["--nets", "alexnet", "--identities", "8", "--batch-size", "8", "--epochs", "1000",
               "--contrast-px", "32", "--monitor", "4", "--processes", "1",
               "--precision", "float32", "--guard", "off"]  # fmt: skip
    command = [sys.executable, "-m", "training", "pretrain", *options, "--out", str(tmp_path)]
    shown = ""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # if ignored, it is inherited
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr
        while "| 1/1000" not in shown and (character := training.stderr.read(1)):
            shown += character
        training.send_signal(signal.SIGINT)
        shown += training.stderr.read()
    assert training.returncode == 130
    *lines, last = [line for line in re.split(r"[\r\n]|\x1b\[A", shown) if line.strip()]
    assert last == "pretrain: stopped; the same command resumes it"
    for line in lines:
        assert re.search(r"\d+/\d+|^0(epoch|batch) ", line), line
