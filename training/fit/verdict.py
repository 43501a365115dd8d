"""The result that a command prints. This module imports no Keras."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """The path that a command wrote, and a summary of its result in one or two sentences."""

    path: Path
    summary: str

    def __str__(self) -> str:
        """Returns the path and the summary in one line."""
        return f"{self.path}: {self.summary}"
