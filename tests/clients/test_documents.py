"""What is written from the OpenAPI document is current, and breaks no caller of the release."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.commands.openapi import openapi_text, write_openapi
from clients.breaking import RELEASED, breaking_changes
from clients.write_bruno import COLLECTION, collection_files
from clients.write_models import DOCUMENT, MODELS, models_text

Document = dict[str, Any]


def read(file: Path) -> Document:
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_document_is_the_app_s(tmp_path: Path) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == openapi_text(), (
        "write it, and what is made from it, by `make api`"
    )
    assert write_openapi(tmp_path / "openapi.json") == 0
    assert (tmp_path / "openapi.json").read_bytes() == DOCUMENT.read_bytes()


def test_the_client_s_models_are_those_of_the_document() -> None:
    written = ast.dump(ast.parse(models_text(read(DOCUMENT))))
    assert ast.dump(ast.parse(MODELS.read_text(encoding="utf-8"))) == written, (
        "write them by `make api`"
    )


def test_the_bruno_collection_is_that_of_the_document() -> None:
    found = {
        str(file.relative_to(COLLECTION)): file.read_text(encoding="utf-8")
        for file in COLLECTION.rglob("*")
        if file.is_file()
    }
    assert found == collection_files(read(DOCUMENT)), "write it by `make api`"


def test_no_change_breaks_callers_of_the_release() -> None:
    assert breaking_changes(read(RELEASED), read(DOCUMENT)) == []


SCHEMA = {
    "properties": {
        "kind": {"type": "string", "enum": ["a", "b"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 9},
        "parts": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "more": {"type": "number"},
        "place": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
    },
    "required": ["kind", "size", "parts"],
    "type": "object",
}
REQUEST = {"schema": {"$ref": "#/components/schemas/Ask"}}
ANSWER = {"schema": {"$ref": "#/components/schemas/Told"}}
PROBLEM = {"examples": {"x": {"value": {"type": "urn:palm:problem:x", "status": 404}}}}
TOY: Document = {
    "paths": {
        "/a": {
            "post": {
                "parameters": [{"in": "query", "name": "q", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": REQUEST}},
                "responses": {
                    "200": {"content": {"application/json": ANSWER}},
                    "404": {"content": {"application/problem+json": PROBLEM}},
                },
            }
        }
    },
    "components": {"schemas": {"Ask": {**SCHEMA, "additionalProperties": False}, "Told": SCHEMA}},
}
ROUTE = "d['paths']['/a']['post']"
ASK = "d['components']['schemas']['Ask']"
TOLD = "d['components']['schemas']['Told']"

BREAKING = {
    "del d['paths']['/a']": "the route is removed",
    f"{ROUTE}['security'] = [{{}}]": "needs a key now",
    f"{ROUTE}['parameters'].clear()": "parameter q is removed",
    f"{ROUTE}['parameters'][0]['required'] = True": "parameter q is required now",
    f"{ROUTE}['parameters'].append({{'in': 'query', 'name': 'r', 'required': True}})": (
        "parameter r is required now"
    ),
    f"{ROUTE}['parameters'][0]['schema']['maxLength'] = 3": "parameter q: maxLength is narrower",
    f"{ROUTE}['requestBody']['required'] = True": "a body is required now",
    f"{ROUTE}['requestBody']['content'].clear()": "body application/json is not accepted any more",
    f"{ROUTE}['responses']['201'] = {{}}": "status 201 is added",
    f"{ROUTE}['responses'].pop('200')": "status 200 is removed",
    f"{ROUTE}['responses']['200']['content'].clear()": "answer application/json is removed",
    f"{ROUTE}['responses']['404']['content']['application/problem+json']['examples']['x']"
    "['value']['status'] = 409": "problem urn:palm:problem:x has the status 409, no longer 404",
    f"{ASK}['required'].append('more')": "body.more is required now",
    f"{ASK}['properties'].pop('more')": "body.more is removed",
    f"{ASK}['properties']['kind']['enum'].remove('b')": "body.kind: values are narrower",
    f"{ASK}['properties']['kind'].pop('enum'); {ASK}['properties']['kind']['pattern'] = 'a'": (
        "body.kind: pattern is narrower"
    ),
    f"{ASK}['properties']['size']['minimum'] = 1": "body.size: minimum is narrower",
    f"{ASK}['properties']['size']['maximum'] = 8": "body.size: maximum is narrower",
    f"{ASK}['properties']['more']['type'] = 'integer'": "body.more: type is narrower (number)",
    f"{ASK}['properties']['parts']['items'] = {{'type': 'string'}}": (
        "body.parts[items]: type is narrower (null)"
    ),
    f"{TOLD}['properties']['place']['prefixItems'][1]['type'] = 'string'": (
        "answer.place[1]: type is wider (string)"
    ),
    f"{TOLD}['properties'].pop('kind'); {TOLD}['required'].remove('kind')": (
        "answer.kind is removed"
    ),
    f"{TOLD}['properties'].pop('more')": "answer.more is removed",
    f"{TOLD}['required'].remove('kind')": "answer.kind is optional now",
    f"{TOLD}['properties']['kind']['enum'].append('c')": "answer.kind: values are wider",
    f"{TOLD}['properties']['size']['maximum'] = 10": "answer.size: maximum is wider",
    f"{TOLD}['properties']['size']['type'] = 'number'": "answer.size: type is wider (number)",
}
HARMLESS = [
    "d['paths']['/b'] = {'get': {}}",
    f"{ROUTE}['parameters'].append({{'in': 'query', 'name': 'r', 'schema': {{}}}})",
    f"{ASK}['required'].remove('kind')",
    f"{ASK}['properties']['new'] = {{'type': 'string'}}",
    f"{ASK}['properties']['kind']['enum'].append('c')",
    f"{ASK}['properties']['size']['maximum'] = 10",
    f"{ASK}['properties']['size']['type'] = 'number'",
    f"{TOLD}['required'].append('more')",
    f"{TOLD}['properties']['new'] = {{'type': 'string'}}",
    f"{TOLD}['properties']['kind']['enum'].remove('b')",
    f"{TOLD}['properties']['more']['type'] = 'integer'",
    f"{TOLD}['description'] = 'in other words'",
]


def after(change: str) -> list[str]:
    new = json.loads(json.dumps(TOY))  # without shared parts, which deepcopy keeps
    run: Callable[..., None] = exec
    run(change, {"d": new})
    return breaking_changes(TOY, new)


@pytest.mark.parametrize("change", BREAKING)
def test_a_change_that_breaks_callers_is_named(change: str) -> None:
    assert after(change) == [f"POST /a: {BREAKING[change]}"]


@pytest.mark.parametrize("change", HARMLESS)
def test_other_changes_are_not(change: str) -> None:
    assert after(change) == []
