"""Pydantic's validation errors in words for one line."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_MAX_ECHO = 80  # characters of a refused value that are repeated


def complaint(item: Mapping[str, Any]) -> str:
    """Returns what is wrong with one value, and the value if it is a scalar.

    Args:
        item: one of `ValidationError.errors()`.
    """
    message = str(item["msg"]).removeprefix("Value error, ")
    if isinstance(item["input"], str | int | float) and item["type"] != "json_invalid":
        message = f"{message}, not {item['input']!r:.{_MAX_ECHO}}"
    return message


def in_one_line(error: ValidationError) -> str:
    """Returns every complaint, each after the name of its field."""
    return "; ".join(
        ".".join(map(str, item["loc"])) + (": " if item["loc"] else "") + complaint(item)
        for item in error.errors()
    )
