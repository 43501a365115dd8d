"""The documentation: complete, true to the routes, and harmless to try."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

PROBLEM = "application/problem+json"
EXAMPLE = {
    "subject_id": "ada-left",
    "key_id": "3f9a1c04",
    "erasure_id": "5d1a6e4c0c9f1d2b3a4e5f60710f8c4c",
    "number": 412,
}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(shared_client: TestClient) -> Document:
    return shared_client.get("/openapi.json").raise_for_status().json()


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_is_described(document: Document) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)


def test_every_property_and_parameter_is_described(document: Document) -> None:
    properties = {
        f"{name}.{field}": schema
        for name, model in document["components"]["schemas"].items()
        for field, schema in model["properties"].items()
    }
    parameters = {
        f"{method} {path} {parameter['name']}": parameter
        for path, method, operation in operations(document)
        for parameter in operation.get("parameters", [])
    }
    assert len(properties) > 50
    assert len(parameters) == 26
    undescribed = [n for n, s in {**properties, **parameters}.items() if not s.get("description")]
    assert undescribed == []


def test_every_schema_is_used_and_described(document: Document) -> None:
    for name, model in document["components"]["schemas"].items():
        assert model["description"], name
        assert f"#/components/schemas/{name}" in json.dumps(document), name


def test_every_number_has_its_range_or_unit_in_words(document: Document) -> None:
    words = re.compile(r"\d|pixels|ms|number|length", re.IGNORECASE)
    for name, model in document["components"]["schemas"].items():
        for field, schema in model["properties"].items():
            kinds = [schema, *schema.get("anyOf", []), schema.get("items", {})]
            if {"number", "integer"} & {kind.get("type") for kind in kinds}:
                assert words.search(schema["description"]), f"{name}.{field}"


def test_every_documented_problem_has_examples_of_its_route_and_status(document: Document) -> None:
    seen = 0
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            assert list(response["content"]) == [PROBLEM]
            examples = response["content"][PROBLEM]["examples"]
            assert examples, (path, method, status)
            for example in examples.values():
                problem = example["value"]
                assert problem["status"] == int(status)
                assert problem["instance"] == path.format(**EXAMPLE)
                assert problem["detail"]
                assert problem["title"] in response["description"]
                seen += 1
    assert seen > 30


def test_a_problem_s_example_names_only_fields_of_its_route(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        body = json.dumps(operation.get("requestBody", {}))
        known = {parameter["name"] for parameter in operation.get("parameters", [])}
        for name in re.findall(r"schemas/(\w+)", body):
            known |= schemas[name]["properties"].keys()
        invalid = operation["responses"].get("422", {"content": {PROBLEM: {"examples": {}}}})
        for example in invalid["content"][PROBLEM]["examples"].values():
            for error in example["value"]["errors"]:
                assert error["field"].partition(".")[0] in known, (path, method)


def test_optional_form_fields_are_not_prefilled(document: Document) -> None:
    forms = [
        re.sub(".*/", "", content["schema"]["$ref"])
        for _, _, operation in operations(document)
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "multipart/form-data"
    ]
    assert sorted(forms) == ["BatchForm", "EnrollForm", "IdentifyForm", "InspectForm", "VerifyForm"]
    for form in forms:
        model = document["components"]["schemas"][form]
        assert not {"example", "examples"} & model.keys()
        for field in model["properties"].keys() - set(model["required"]):
            schema = model["properties"][field]
            # Swagger UI invents a value for a field without an example.
            empty = [] if schema.get("type") == "array" else ""
            assert schema["example"] == empty, f"{form}.{field}"
            assert not {"examples", "default"} & schema.keys(), f"{form}.{field}"


def test_images_are_documented_as_files(document: Document) -> None:
    images = document["components"]["schemas"]["IdentifyForm"]["properties"]["images"]
    assert images["items"] == {"type": "string", "format": "binary"}


def test_a_batch_s_answer_is_documented_line_by_line(document: Document) -> None:
    answer = document["paths"]["/v1/identify/batch"]["post"]["responses"]["200"]["content"]
    line = {"$ref": "#/components/schemas/BatchLine"}
    assert answer == {"application/x-ndjson": {"schema": line}}


def test_the_document_names_no_host(document: Document) -> None:
    assert not re.search("https?://", json.dumps(document))


def test_the_documentation_s_page_needs_no_internet(shared_client: TestClient) -> None:
    page = shared_client.get("/docs").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(asset.endswith(".js") for asset in assets)
    for asset in assets:
        assert asset.startswith("/")
        assert shared_client.get(asset).status_code == 200
    assert "http" not in page.replace("http-equiv", "")
    assert shared_client.get("/redoc").status_code == 404
