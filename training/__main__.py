"""The command line: `python -m training <command> --help`."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import Any, get_type_hints


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 on success, 2 on bad arguments or data, with one line that says what to do.
    """
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        commands.add_parser(name, add_help=False)
    command, rest = parser.parse_known_args(arguments)
    config_type, run = _COMMANDS[command.command]()
    config = _parse(command.command, config_type, rest)
    try:
        result = run(config)
    except (OSError, ValueError) as error:
        print(f"{command.command}: {error}", file=sys.stderr)
        return 2
    print(result if not hasattr(result, "summary") else f"wrote {config.out}")
    return 0


def _synthesize() -> tuple[type, Callable[[Any], Any]]:
    from training.synthesize import SynthesisConfig, synthesize

    return SynthesisConfig, synthesize


def _train() -> tuple[type, Callable[[Any], Any]]:
    from training.train import TrainConfig, train

    return TrainConfig, train


def _export() -> tuple[type, Callable[[Any], Any]]:
    from training.export import ExportConfig, export

    return ExportConfig, export


def _fuse() -> tuple[type, Callable[[Any], Any]]:
    from training.fusion import FuseConfig, fuse

    return FuseConfig, fuse


def _evaluate() -> tuple[type, Callable[[Any], Any]]:
    from training.evaluate import EvaluateConfig, as_markdown, evaluate

    return EvaluateConfig, lambda config: as_markdown(evaluate(config))


# Imported only when asked for: `synthesize` needs no TensorFlow, and --help answers at once.
_COMMANDS = {
    "synthesize": _synthesize,
    "train": _train,
    "export": _export,
    "fuse": _fuse,
    "evaluate": _evaluate,
}


def _parse(command: str, config_type: Any, arguments: list[str]) -> Any:
    """Reads a frozen configuration from options named after its fields."""
    parser = argparse.ArgumentParser(
        prog=f"python -m training {command}",
        description=config_type.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        option = f"--{field.name.replace('_', '-')}"
        if field.default is dataclasses.MISSING:
            parser.add_argument(option, type=_reader(hints[field.name]), required=True)
        else:
            parser.add_argument(option, type=_reader(hints[field.name]), default=field.default)
    return config_type(**vars(parser.parse_args(arguments)))


def _reader(hint: Any) -> Callable[[str], Any]:
    if hint == tuple[str, ...]:
        return lambda text: tuple(text.split(","))
    return {int | None: int}.get(hint, hint)


if __name__ == "__main__":
    sys.exit(main())
