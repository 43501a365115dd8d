"""Messages for what pydantic refuses, each short enough for one line."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

MAX_ERRORS = 10
"""How many complaints about one request are told, and worth a suggestion."""
MAX_ECHO = 80
"""Characters of an offending name or value that are repeated."""


def complaint(item: Mapping[str, Any]) -> str:
    """Returns what is wrong with one value, and the start of the value if it is text or a number.

    Args:
        item: one of `ValidationError.errors()`.
    """
    message = str(item["msg"]).removeprefix("Value error, ")
    if isinstance(item["input"], str | int | float) and item["type"] != "json_invalid":
        message = f"{message}, not {item['input']!r:.{MAX_ECHO}}"
    return message


def in_one_line(error: ValidationError) -> str:
    """Returns all complaints in one line, each after the name of its field."""
    return "; ".join(
        ".".join(map(str, item["loc"])) + (": " if item["loc"] else "") + complaint(item)
        for item in error.errors()
    )


def shorten(name: str) -> str:
    """Returns a caller's name for something, cut off after `MAX_ECHO` characters."""
    return name if len(name) <= MAX_ECHO else f"{name[:MAX_ECHO]}..."


def suggest(unknown: str, known: Iterable[str]) -> str:
    """Returns a hint at the known name nearest to an unknown one, else at all known names."""
    names = sorted(known)
    if nearest := get_close_matches(unknown[:MAX_ECHO], names, n=1):
        return f"did you mean {nearest[0]}?"
    return f"known are {', '.join(names)}" if names else "none are known here"
