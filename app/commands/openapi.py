"""The command that writes the OpenAPI document, which clients are checked against."""

import json
from pathlib import Path
from typing import Any

from app.main import create_app
from app.settings import Settings

DOCUMENT = Path("docs/openapi.json")


def openapi_text() -> str:
    """Returns the document as its file holds it; no setting and no gallery has part in it."""
    document: dict[str, Any] = create_app(Settings.model_construct()).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_openapi(file: Path) -> int:
    """Writes the document to a file; returns the exit status."""
    file.write_text(openapi_text(), encoding="utf-8")
    print(f"written: {file}")
    return 0
