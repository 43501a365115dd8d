"""The command line: `python -m training <command> --help`."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, make_dataclass
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import DisallowNone, arg
from tyro.extras import literal_type_from_choices, subcommand_cli_from_dict

PROGRAM = "python -m training"
DESCRIPTION = "Trains nets on palm-vein images and writes versions that the service loads."

COMMANDS = {
    "synthesize": "Draws a database of synthetic palms.",
    "contact-sheet": "Draws many synthetic palms in one image.",
    "check": "Checks whether a database is fit to train on.",
    "pretrain": "Trains nets on thousands of synthetic palms.",
    "train": "Trains one net on a database.",
    "finetune": "Adapts an exported net to the palms of a database.",
    "ablate": "Trains nets with many recipes and compares them.",
    "export": "Writes a trained net as a new version for the service.",
    "fuse": "Weighs and calibrates exported nets together.",
    "quantize": "Writes fused nets in int8, and proves which precisions decide alike.",
    "evaluate": "Measures exported nets on the test part of their database and on strangers.",
    "benchmark": "Measures exported nets on any database, by ISO/IEC 19795-1.",
    "train-finder": "Trains the net that finds the palm in a photograph of a hand.",
    "export-finder": "Writes a trained finder as a new version for the service.",
}
"""Commands in the order of their use, with their summaries. The command `contact-sheet` is the
function `contact_sheet` of training/commands/contact_sheet.py; its options are those of
`ContactSheetConfig`."""

RESUMABLE = ("pretrain", "train", "finetune", "ablate", "train-finder")
WITHOUT_KERAS = ("synthesize", "contact-sheet", "check")

NOISE = "^WARNING: All log messages before absl|^I0000 "
"""Messages that TensorFlow writes before it reads its log level."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and prints its result.

    Returns:
        0 on success; 2 after an error, whose message is one line; 130 if interrupted.

    Raises:
        SystemExit: with code 0 after --help, and with code 2 after unknown or invalid options.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = _read_command(arguments[:1])
    config = read_config(name, arguments[1:])
    try:
        if name not in WITHOUT_KERAS:
            _import_keras()
        print(_find(name, name.replace("-", "_"))(config), flush=True)
        return 0
    except (OSError, ValueError) as error:
        code, message = 2, _in_one_line(error)
    except KeyboardInterrupt:
        further = "; the same command resumes it" if name in RESUMABLE else ""
        code, message = 130, f"stopped{further}"
    # After the except clauses, because the exception keeps unfinished progress bars on the line.
    print(f"{name}: {message}", file=sys.stderr)
    return code


def read_config(name: str, arguments: Sequence[str]) -> Any:
    """Returns the configuration of a command, read from its options.

    Raises:
        SystemExit: as `main`.
    """
    config = _find(name, "".join(map(str.title, name.split("-"))) + "Config")
    if name == "train":
        return _read_train(config, arguments)
    return tyro.cli(config, prog=f"{PROGRAM} {name}", args=arguments, config=(DisallowNone,))


def _read_train(config: Any, arguments: Sequence[str]) -> Any:
    """Reads --preset first, because its recipe sets the defaults of the other options."""
    from training.nets.recipe import PRESETS

    help_text = "Recipe that sets the defaults below; single options override it."
    choices = Annotated[literal_type_from_choices(PRESETS), arg(help=help_text)]
    preset = make_dataclass("Preset", [("preset", choices, "shipped")])
    chosen, _ = tyro.cli(preset, args=arguments, return_unknown_args=True, add_help=False)
    required = {f.name: tyro.MISSING for f in fields(config) if f.default is f.default_factory}
    default = config(**required, **asdict(PRESETS[chosen.preset]))
    with_preset = make_dataclass(
        "Train", [("config", Annotated[config, arg(name="")])], bases=(preset,), kw_only=True
    )
    return tyro.cli(
        with_preset,
        prog=f"{PROGRAM} train",
        description=cleandoc(config.__doc__).partition("\nAttributes:")[0],
        args=arguments,
        default=with_preset(preset="shipped", config=default),
        config=(DisallowNone,),
    ).config


def _read_command(arguments: Sequence[str]) -> str:
    """Returns the name of the command; --help lists all of them."""

    def named(name: str, summary: str) -> Callable[[], str]:
        def command() -> str:
            return name

        command.__doc__ = summary
        return command

    commands = {name: named(name, summary) for name, summary in COMMANDS.items()}
    return subcommand_cli_from_dict(commands, prog=PROGRAM, description=DESCRIPTION, args=arguments)


def _find(name: str, member: str) -> Any:
    """Returns a member of a command's module; imports no other command, to save time."""
    return getattr(import_module(f"training.commands.{name.replace('-', '_')}"), member)


def _import_keras() -> None:
    """Imports Keras and its backend without TensorFlow's messages about a missing GPU.

    Another process filters the standard error, so that a message before a crash is still shown.
    """
    no_gpu = not Path("/dev/nvidiactl").exists()
    # 2 shows errors only; 3 also hides the error that TensorFlow reports without a GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if no_gpu else "2")
    # TensorFlow turns oneDNN off on a CPU without AVX512, where it doubles the speed of training.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    read_end, write_end = os.pipe()
    shown = os.dup(2)
    noise_filter = subprocess.Popen(["grep", "-vE", NOISE], stdin=read_end, stdout=shown)
    os.dup2(write_end, 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(shown, 2)
        for descriptor in (read_end, write_end, shown):
            os.close(descriptor)
        noise_filter.wait()


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}the disk is full: make room, or choose another folder"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
