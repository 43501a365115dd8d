"""A request to the service, and what its routes' functions make it of."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that can be sent, and sent again. Its repr shows neither images nor names.

    Attributes:
        method: HTTP's.
        path: of the route, from the service's root.
        parse: makes the result from the answer.
        safe: whether sending it twice does no more than sending it once.
        query: parameters after the path.
        form: fields of a multipart body.
        images: its files.
        body: a JSON body.
        headers: besides those of every request.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    safe: bool
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    form: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    images: Sequence[bytes] = field(default=(), repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def as_model(kind: type[M]) -> Callable[[httpx.Response], M]:
    """Returns what makes a model from an answer."""
    return lambda response: kind.model_validate_json(response.content)


def given(**fields: Any) -> dict[str, Any]:
    """Returns the fields that have a value, as a form or query writes them."""
    kept = {
        name: value
        for name, value in fields.items()
        if value is not None and value is not False and value != ()
    }
    return {name: _text(value) for name, value in kept.items()}


def _text(value: Any) -> str | list[str]:
    if value is True:
        return "true"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return json.dumps(dict(value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


def get(path: str, kind: type[M], **query: Any) -> Call[M]:
    """Returns a request that reads."""
    return Call("GET", path, as_model(kind), True, query=given(**query))
