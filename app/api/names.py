"""Names of persons and keys: one visible line."""

from typing import Annotated
from unicodedata import category, normalize

from pydantic import AfterValidator, Field

_UNFIT_FOR_A_NAME = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is not seen: control, zero-width, bidirectional and tag characters,
unassigned ones, halves of characters, and separators of lines. Two names could look alike."""

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are not seen either."""


def _check_name(name: str) -> str:
    composed = normalize("NFC", name).strip()
    if not composed:
        raise ValueError("must not be blank")
    if _FILLERS & {*composed} or any(category(one) in _UNFIT_FOR_A_NAME for one in composed):
        raise ValueError("must be one line without control characters or invisible ones")
    return composed


Name = Annotated[str, Field(max_length=200), AfterValidator(_check_name)]
