"""Lists the changes of the API that break callers: `python -m clients.breaking`.

It compares docs/openapi.json with clients/openapi-released.json, the last release's. A change that
is meant is released: copy the document there, and raise the client's version.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients.write_models import DOCUMENT

RELEASED = Path(__file__).parent / "openapi-released.json"
Schema = dict[str, Any]
_LOWEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_HIGHEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Returns a line for each change from `old` to `new` that may break a caller of `old`."""
    return list(dict.fromkeys(_Comparison(old, new).changes()))


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new

    def changes(self) -> Iterator[str]:
        for path, operations in self._old["paths"].items():
            for method, old in operations.items():
                where = f"{method.upper()} {path}"
                new = self._new["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{where}: the route is removed"
                    continue
                if new.get("security") and not old.get("security"):
                    yield f"{where}: needs a key now"
                yield from self._parameters(where, old, new)
                yield from self._body(where, old, new)
                yield from self._answers(where, old, new)

    def _parameters(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = (
            {(one["in"], one["name"]): one for one in operation.get("parameters", [])}
            for operation in (old, new)
        )
        for key in before.keys() - after.keys():
            yield f"{where}: parameter {key[1]} is removed"
        for key, parameter in after.items():
            name = f"{where}: parameter {key[1]}"
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield f"{name} is required now"
            if key in before:
                yield from self._request(name, before[key]["schema"], parameter["schema"])

    def _body(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old.get("requestBody", {}), new.get("requestBody", {})
        if after.get("required") and not before.get("required"):
            yield f"{where}: a body is required now"
        for media, content in before.get("content", {}).items():
            if media not in after.get("content", {}):
                yield f"{where}: body {media} is not accepted any more"
            else:
                changed = after["content"][media]["schema"]
                yield from self._request(f"{where}: body", content["schema"], changed)

    def _answers(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = _succeeding(old), _succeeding(new)
        for status in before.keys() ^ after.keys():
            yield f"{where}: status {status} is {'added' if status in after else 'removed'}"
        for status in before.keys() & after.keys():
            for media, content in before[status].get("content", {}).items():
                changed = after[status].get("content", {}).get(media)
                if changed is None:
                    yield f"{where}: answer {media} is removed"
                    continue
                name = f"{where}: answer"
                one, two = content.get("schema", {}), changed.get("schema", {})
                yield from self._covers(name, (self._old, one), (self._new, two), answer=True)
        problems = _problems(new)
        for kind, status in _problems(old).items():
            if problems.get(kind, status) != status:
                yield f"{where}: problem {kind} has the status {problems[kind]}, no longer {status}"

    def _request(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        return self._covers(where, (self._new, new), (self._old, old), answer=False)

    def _covers(
        self, where: str, big: tuple[Schema, Schema], small: tuple[Schema, Schema], *, answer: bool
    ) -> Iterator[str]:
        """Yields why `big` does not allow all that `small` does; each with its document."""
        wide, narrow = _variants(*big), _variants(*small)
        word = "wider" if answer else "narrower"
        for kind, part in narrow.items():
            allowed = (
                wide.get(kind) or wide.get("number" if kind == "integer" else "") or wide.get("")
            )
            if allowed is None:
                yield f"{where}: type is {word} ({kind})"
                continue
            yield from self._values(where, allowed, part, word)
            yield from self._fields(where, (big[0], allowed), (small[0], part), answer=answer)

    def _values(self, where: str, wide: Schema, narrow: Schema, word: str) -> Iterator[str]:
        if "enum" in wide and not set(narrow.get("enum", [object()])) <= set(wide["enum"]):
            yield f"{where}: values are {word}"
        for name in ("pattern", "format"):
            if name in wide and wide[name] != narrow.get(name):
                yield f"{where}: {name} is {word}"
        for names, sign in ((_LOWEST, 1), (_HIGHEST, -1)):
            for name in names:
                if name in wide and (name not in narrow or sign * narrow[name] < sign * wide[name]):
                    yield f"{where}: {name} is {word}"

    def _fields(
        self, where: str, big: tuple[Schema, Schema], small: tuple[Schema, Schema], *, answer: bool
    ) -> Iterator[str]:
        wide, narrow = big[1].get("properties", {}), small[1].get("properties", {})
        for name in sorted(set(big[1].get("required", [])) - set(small[1].get("required", []))):
            kept = name in narrow
            yield f"{where}.{name} is " + (
                "optional now" if answer and kept else "removed" if answer else "required now"
            )
        gone = wide.keys() - narrow.keys() if answer else narrow.keys() - wide.keys()
        for name in sorted(gone - set(big[1].get("required", []))):
            yield f"{where}.{name} is removed"
        parts = [(f".{name}", wide[name], narrow[name]) for name in wide.keys() & narrow.keys()]
        parts += [
            (f"[{name}]", big[1][name], small[1][name])
            for name in ("items", "additionalProperties")
            if isinstance(big[1].get(name), dict) and isinstance(small[1].get(name), dict)
        ]
        places = zip(big[1].get("prefixItems", []), small[1].get("prefixItems", []), strict=False)
        parts += [(f"[{number}]", one, two) for number, (one, two) in enumerate(places)]
        for name, one, two in parts:
            yield from self._covers(where + name, (big[0], one), (small[0], two), answer=answer)


def _variants(document: Schema, schema: Schema) -> dict[str, Schema]:
    """Returns what a value may be, by JSON type; "" if any."""
    if "$ref" in schema:
        return _variants(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]])
    if "anyOf" in schema:
        found = [_variants(document, one) for one in schema["anyOf"]]
        return {kind: part for variants in found for kind, part in variants.items()}
    values = {"enum": [schema["const"]]} if "const" in schema else {}
    return {schema.get("type", ""): {**schema, **values}}


def _succeeding(operation: Schema) -> dict[str, Schema]:
    return {status: one for status, one in operation["responses"].items() if int(status) < 400}


def _problems(operation: Schema) -> dict[str, int]:
    media = [m for r in operation["responses"].values() for m in r.get("content", {}).values()]
    values = [e["value"] for m in media for e in m.get("examples", {}).values()]
    return {v["type"]: v["status"] for v in values if ":problem:" in v.get("type", "")}


def main() -> int:
    """Prints the changes; returns 1 if there is one."""
    old, new = (json.loads(file.read_text(encoding="utf-8")) for file in (RELEASED, DOCUMENT))
    changes = breaking_changes(old, new)
    for change in changes:
        print(change)
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
