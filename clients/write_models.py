"""Writes the Python client's models from docs/openapi.json: `python -m clients.write_models`.

It runs by hand when the service's answers change; the client itself generates nothing.
"""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs" / "openapi.json"
MODELS = REPOSITORY / "clients/python/src/palm_vein_client/models.py"

HEAD = '''"""The service's answers, written by `python -m clients.write_models`: change it there."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
'''
_PLAIN = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}

Schema = dict[str, Any]


def models_text(document: Schema) -> str:
    """Returns the module with a class for each schema of an answer."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    # Requests refuse unknown fields. They are made from the arguments of the client's methods.
    answers = {n: s for n, s in schemas.items() if s.get("additionalProperties") is not False}
    return HEAD + "".join(_class(name, answers[name]) for name in _ordered(answers))


def _ordered(schemas: dict[str, Schema]) -> list[str]:
    """Returns the names so that each class comes after those that it refers to."""
    names: list[str] = []

    def add(name: str) -> None:
        for other in re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name])):
            if other != name and other not in names:
                add(other)
        if name not in names:
            names.append(name)

    for name in schemas:
        add(name)
    return names


def _class(name: str, schema: Schema) -> str:
    text = " ".join(schema["description"].split())
    summary = textwrap.fill(re.split(r"(?<=\.)\s", text)[0], 93, subsequent_indent="    ")
    lines = [f'    """{summary}"""', ""]
    for field, kind in schema["properties"].items():
        default = "" if field in schema.get("required", []) else f" = {_default(kind)}"
        lines.append(f"    {field}: {_type(kind)}{default}")
    return f"\n\nclass {name}(BaseModel):\n" + "\n".join(lines) + "\n"


def _default(kind: Schema) -> str:
    return repr(kind.get("default"))


def _type(kind: Schema) -> str:
    if "$ref" in kind:
        return kind["$ref"].rsplit("/", 1)[1]
    if "anyOf" in kind:
        return " | ".join(_type(one) for one in kind["anyOf"])
    if "const" in kind or "enum" in kind:
        values = [kind["const"]] if "const" in kind else kind["enum"]
        return f"Literal[{', '.join(json.dumps(value) for value in values)}]"
    if kind.get("format") == "date-time":
        return "datetime"
    if kind.get("type") == "array":
        if "prefixItems" in kind:
            return f"tuple[{', '.join(_type(item) for item in kind['prefixItems'])}]"
        return f"list[{_type(kind['items'])}]"
    if kind.get("type") == "object":
        return f"dict[str, {_type(kind.get('additionalProperties') or {})}]"
    return _PLAIN.get(kind.get("type", ""), "object")


def main() -> None:
    """Writes the module."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    MODELS.write_text(models_text(document), encoding="utf-8")
    print(f"written: {MODELS.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
