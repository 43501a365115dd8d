"""JSON files that training writes, and their checksums."""

import json
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from app.validation import in_one_line


class NetUnusable(ValueError):
    """A net cannot be used; the message names the file or value and what to do."""


class NetMissing(NetUnusable):
    """There is no such net, version or fusion."""


class NetCorrupt(NetUnusable):
    """A file is missing, or is not the one that training wrote."""


class ManifestPart(BaseModel):
    """A part of a file that training writes; unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def as_json(self) -> str:
        """Returns the text of the file; its checksum stays valid when it is read back."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


_File = TypeVar("_File", bound=ManifestPart)


def checksum(content: Any) -> str:
    """Returns the SHA-256 of content as JSON without spaces, its keys sorted."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def earlier_schema(path: Path, current: int) -> int | None:
    """Returns the schema version of a file of an earlier release; None for any other file."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None  # whoever reads the file says why
    if not isinstance(content, dict):
        return None
    schema = cast(dict[str, Any], content).get("schema_version")
    return schema if isinstance(schema, int) and schema < current else None


def read_file(path: Path, model: type[_File], advice: str) -> tuple[_File, dict[str, Any]]:
    """Returns a file as a model, and as the JSON that its checksum was computed from.

    Raises:
        NetCorrupt: if it cannot be read, or is not of this release; the message ends with `advice`.
    """
    try:
        text = path.read_bytes()
        return model.model_validate_json(text), json.loads(text)
    except OSError as error:
        raise NetCorrupt(f"{path} cannot be read ({error.strerror}): {advice}") from error
    except ValidationError as error:
        raise NetCorrupt(
            f"{path} is not a manifest of this release ({in_one_line(error)}): {advice}"
        ) from error


def require_checksum(path: Path, content: Any, expected: str, advice: str) -> None:
    """Compares a file's content with its checksum.

    Raises:
        NetCorrupt: if they differ; the message names both and ends with `advice`.
    """
    found = checksum(content)
    if found != expected:
        raise NetCorrupt(f"the content of {path} has SHA-256 {found}, not {expected!r}: {advice}")
