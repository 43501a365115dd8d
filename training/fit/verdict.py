"""What a command ends with. Imports no Keras."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """The path of what a command wrote, and what came out in a sentence or two."""

    path: Path
    summary: str

    def __str__(self) -> str:
        """Returns both in one line."""
        return f"{self.path}: {self.summary}"
