"""Prints the licence of each package that serving needs, as a table in Markdown."""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path("requirements/serve.txt")


def stated_licence(package: Distribution) -> str:
    """Returns the licence that a package's metadata states, in one line.

    The first of: its SPDX expression (PEP 639), its classifiers, and the first line of its field
    License, which may hold a whole text.
    """
    metadata = package.metadata.json
    classifiers = [
        name.rpartition(" :: ")[2]
        for name in metadata.get("classifier", [])
        if name.startswith("License :: ")
    ]
    text = str(metadata.get("license", "")).strip()
    expression = str(metadata.get("license_expression", ""))
    return expression or ", ".join(classifiers) or text.partition("\n")[0][:80] or "not stated"


def rows(lock: str) -> list[str]:
    """Returns a row for each package of a lock: its name and licence.

    Args:
        lock: text in pip's format; a package's line starts with `name==version`.

    Raises:
        ValueError: if another version than the lock's is installed; both are named.
    """
    found: list[str] = []
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock, re.MULTILINE
    ):
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system, or not installed
            found.append(f"| {name} | not installed here |")
            continue
        if package.version != version:
            raise ValueError(
                f"{name} {package.version} is installed, and {LOCK} holds {version}: make setup"
            )
        found.append(f"| {name} | {stated_licence(package)} |")
    return found


if __name__ == "__main__":
    try:
        table = rows(LOCK.read_text("utf-8"))
    except (ValueError, OSError) as error:
        sys.exit(f"deploy/licences.py: {error}")
    print("| package | licence |", "|---|---|", *table, sep="\n")
