"""Writes the Bruno collection from docs/openapi.json: `python -m clients.write_bruno`."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from clients.write_models import DOCUMENT, REPOSITORY

COLLECTION = REPOSITORY / "clients" / "bruno"
IMAGE = "../../samples/hands/known/p100.jpg"
_COLLECTION = {"version": "1", "name": "Palm-vein identification", "type": "collection"}
_LOCAL = """vars {
  base_url: http://127.0.0.1:8000
}
vars:secret [
  api_key
]
"""

Schema = dict[str, Any]


def collection_files(document: Schema) -> dict[str, str]:
    """Returns the collection's files by their paths, one for each route."""
    files = {
        "bruno.json": json.dumps(_COLLECTION, indent=2) + "\n",
        "environments/local.bru": _LOCAL,
    }
    numbers = Counter[str]()  # of each folder, so that a new route renumbers no other folder
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            folder, name = operation["tags"][0], operation["summary"]
            numbers[folder] += 1
            request = _request(document, path, method, operation, numbers[folder])
            files[f"{folder}/{name}.bru"] = "\n".join(request)
    return files


def _request(
    document: Schema, path: str, method: str, operation: Schema, number: int
) -> Iterator[str]:
    yield _block("meta", [f"name: {operation['summary']}", "type: http", f"seq: {number}"])
    kind, body = _body(document, operation)
    url = path.replace("{", ":").replace("}", "")
    yield _block(
        method,
        [
            f"url: {{{{base_url}}}}{url}",
            f"body: {kind or 'none'}",
            f"auth: {'bearer' if operation.get('security') else 'none'}",
        ],
    )
    for place, block in (("query", "params:query"), ("path", "params:path"), ("header", "headers")):
        values = [
            f"{'' if place == 'path' else '~'}{one['name']}: {_example(one)}"
            for one in operation.get("parameters", [])
            if one["in"] == place
        ]
        if values:
            yield _block(block, values)
    if operation.get("security"):
        yield _block("auth:bearer", ["token: {{api_key}}"])
    if kind:
        yield _block("body:multipart-form" if kind == "multipartForm" else "body:json", body)
    yield _block("docs", operation["description"].splitlines())


def _body(document: Schema, operation: Schema) -> tuple[str, list[str]]:
    """Returns Bruno's word for the body and its lines; optional fields of forms are off."""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
        fields, required = schema["properties"], schema.get("required", [])
        if media == "application/json":
            # In a change, each field that is named changes something.
            shown = required or [name for name in fields if _example(fields[name])][:1]
            example = {name: _example(fields[name]) for name in shown}
            return "json", json.dumps(example, indent=2).splitlines()
        return "multipartForm", [
            f"{'' if name in required else '~'}{name}: "
            + (f"@file({IMAGE})" if name == "images" else str(_example(field)))
            for name, field in fields.items()
        ]
    return "", []


def _example(described: Schema) -> Any:
    """Returns an example of a parameter or field, as Bruno's files write it; "" if none."""
    schema: Schema = described.get("schema", described)
    enums: list[Any] = [v for one in schema.get("anyOf", []) for v in one.get("enum", [])]
    known: list[Any] = schema.get("examples") or [schema.get("default"), *enums][-1:]
    first = known[0]
    if first is None:
        return ""
    return str(first).lower() if isinstance(first, bool) else first


def _block(name: str, lines: Sequence[str]) -> str:
    body = "".join(f"  {line}".rstrip() + "\n" for line in lines)
    return f"{name} {{\n{body}}}\n"


def main() -> None:
    """Writes the collection anew."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    shutil.rmtree(COLLECTION, ignore_errors=True)
    for name, text in collection_files(document).items():
        file = COLLECTION / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    print(f"written: {COLLECTION.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
