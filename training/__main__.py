"""The command line: `python -m training <command> --help`."""

import argparse
import dataclasses
import errno
import os
import sys
import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

# TensorFlow leaves oneDNN off on a CPU without AVX512, where training is half as fast without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 on success; 2 on bad arguments or data, with one line that says what to do; 130 if it was
        interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        commands.add_parser(name, add_help=False)
    command, rest = parser.parse_known_args(arguments)
    config_type, run = _COMMANDS[command.command]()
    config = _parse(command.command, config_type, rest)
    try:
        print(run(config))
    except (OSError, ValueError) as error:
        print(f"{command.command}: {_in_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumable = command.command in ("pretrain", "train", "finetune", "ablate")
        further = "; the same command goes on with it" if resumable else ""
        print(f"{command.command}: stopped{further}", file=sys.stderr)
        return 130
    return 0


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename:
        return f"{error.filename}: the disk is full: make room, or choose another folder"
    return " ".join(str(error).split())


def _synthesize() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.synthesize import SynthesizeConfig, synthesize

    return SynthesizeConfig, synthesize


def _contact_sheet() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.contact_sheet import ContactSheetConfig, contact_sheet

    return ContactSheetConfig, contact_sheet


def _check() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.check import CheckConfig, check

    return CheckConfig, check


def _train() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.train import TrainConfig, train

    return TrainConfig, train


def _pretrain() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.pretrain import PretrainConfig, pretrain

    return PretrainConfig, pretrain


def _finetune() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.finetune import FinetuneConfig, finetune

    return FinetuneConfig, finetune


def _ablate() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.ablate import AblateConfig, ablate

    return AblateConfig, ablate


def _export() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.export import ExportConfig, export

    return ExportConfig, export


def _fuse() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.fuse import FuseConfig, fuse

    return FuseConfig, fuse


def _evaluate() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.evaluate import EvaluateConfig, evaluate

    return EvaluateConfig, evaluate


def _benchmark() -> tuple[type, Callable[[Any], Any]]:
    from training.commands.benchmark import BenchmarkConfig, benchmark

    return BenchmarkConfig, benchmark


# Imported only when asked for: `synthesize` needs no TensorFlow, and --help answers at once.
_COMMANDS = {
    "synthesize": _synthesize,
    "contact-sheet": _contact_sheet,
    "check": _check,
    "pretrain": _pretrain,
    "train": _train,
    "finetune": _finetune,
    "ablate": _ablate,
    "export": _export,
    "fuse": _fuse,
    "evaluate": _evaluate,
    "benchmark": _benchmark,
}


def _parse(command: str, config_type: Any, arguments: list[str]) -> Any:
    """Reads a frozen configuration from options named after its fields."""
    parser = argparse.ArgumentParser(
        prog=f"python -m training {command}",
        description=_describe(config_type),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        name = field.metadata.get("option", field.name).replace("_", "-")
        parser.add_argument(f"--{name}", dest=field.name, **_option(field, hints[field.name]))
    if presets := _presets(config_type):
        parser.add_argument(
            "--preset", choices=presets, default="shipped", help="recipe to start from"
        )
        preset, _ = parser.parse_known_args(arguments)
        parser.set_defaults(**dataclasses.asdict(presets[preset.preset]))
    values = vars(parser.parse_args(arguments))
    values.pop("preset", None)
    return config_type(**values)


def _presets(config_type: Any) -> dict[str, Any]:
    """Recipes by name, for a command that has one."""
    from training.nets.recipe import PRESETS, Recipe

    return PRESETS if issubclass(config_type, Recipe) else {}


def _describe(config_type: Any) -> str:
    """The configuration's docstring, and after it those of the options it shares with others."""
    parts = [config_type.__doc__]
    for base in config_type.__mro__[1:-1]:
        parts.append(base.__doc__.partition("Attributes:")[2].rstrip())
    return "".join(parts)


def _option(field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    """How argparse reads a field."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "default": field.default}
    option: dict[str, Any] = {"type": _reader(hint)}
    if get_origin(hint) is Literal:
        option["choices"] = get_args(hint)
    if field.default is not dataclasses.MISSING:
        option["default"] = field.default
    elif field.default_factory is not dataclasses.MISSING:
        option["default"] = field.default_factory()
    else:
        option["required"] = True
    return option


def _reader(hint: Any) -> Callable[[str], Any]:
    """What turns an option's text into a value of this type."""
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        read = str if get_origin(item) is Literal else item
        return lambda text: tuple(read(part) for part in text.split(","))
    if get_origin(hint) is types.UnionType:
        return get_args(hint)[0]
    return str if get_origin(hint) is Literal else hint


if __name__ == "__main__":
    sys.exit(main())
