"""The fields of a request body, found by walking its schema."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.contracts.data_classes import PERSONAL
from tests.surface.operations import Operation

Path = tuple[str | int, ...]
"""Names and, for the items of a list, the number 0."""

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a body: what may stand there, and whether that is personal data."""

    path: Path
    options: tuple[Schema, ...]
    """The forms it may have, references followed, null left out."""
    is_nullable: bool
    data_class: str

    def __str__(self) -> str:
        return pointer(self.path)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(option["type"] for option in self.options)

    @property
    def text(self) -> Schema | None:
        """Return the form in which it is a string."""
        return next((option for option in self.options if option["type"] == "string"), None)

    @property
    def is_coded(self) -> bool:
        """Tell whether only strings of a closed set or of a fixed form fit."""
        text = self.text or {}
        return bool({"enum", "const", "format", "x-codelist"} & text.keys())

    @property
    def is_personal(self) -> bool:
        return self.data_class in PERSONAL and self.text is not None and not self.is_coded


@dataclass(frozen=True, slots=True)
class Part:
    """An object in a body: the body itself, or one inside it."""

    path: Path
    names: frozenset[str]


def fields(operation: Operation) -> list[Field]:
    """Return every field of the body, those inside objects and lists too."""
    body = operation.body
    return [] if body is None else list(_fields(operation, body, (), "P2"))


def parts(operation: Operation) -> list[Part]:
    """Return every object of the body, the body itself first."""
    body = operation.body
    if body is None:
        return []
    inside = [
        Part(field.path, frozenset(option.get("properties", {})))
        for field in fields(operation)
        for option in field.options
        if option["type"] == "object"
    ]
    return [Part((), frozenset(body["properties"])), *inside]


def _fields(operation: Operation, node: Schema, path: Path, data_class: str) -> Iterator[Field]:
    for name, schema in node.get("properties", {}).items():
        yield from _field(operation, schema, (*path, name), data_class)


def _field(
    operation: Operation, schema: dict[str, Any], path: Path, data_class: str
) -> Iterator[Field]:
    whole = operation.resolve(schema)
    data_class = whole.get("x-data-class", data_class)
    found = [operation.resolve(option) for option in whole.get("anyOf", [whole])]
    options = tuple(option for option in found if option.get("type") != "null")
    # What stands beside anyOf, such as the code list, holds for each option.
    beside = {key: whole[key] for key in ("x-codelist",) if key in whole}
    options = tuple({**beside, **option} for option in options)
    yield Field(path, options, len(options) < len(found), data_class)
    for option in options:
        yield from _fields(operation, option, path, option.get("x-data-class", data_class))
        if isinstance(option.get("items"), dict):
            items = {**beside, **option["items"]}
            yield from _field(operation, items, (*path, 0), data_class)


def pointer(path: Path) -> str:
    """Return the JSON pointer (RFC 6901) to a place."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def get(body: Any, path: Path) -> Any:
    """Return what stands at a place; LookupError where there is no such place."""
    for step in path:
        body = body[step]
    return body


def put(body: Any, path: Path, value: Any) -> Any:
    """Return a copy of the body with `value` at a place; a list on the way keeps its first item.

    LookupError where nothing holds the place.
    """
    if path[-1] == 0:
        return put(body, path[:-1], [value])
    changed = holder = copy.deepcopy(body)
    for step in path[:-1]:
        if isinstance(holder, list):
            del holder[1:]
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def example_with(operation: Operation, path: Path) -> Any:
    """Return the first example in which something can stand at this place."""
    outside = path[:-2] if path[-1] == 0 else path[:-1]
    for example in operation.examples:
        try:
            if isinstance(get(example, outside), dict):
                return example
        except LookupError:
            continue
    raise LookupError(f"{operation}: no example has room for {pointer(path)}")


def fits(text: Schema, value: str) -> bool:
    """Tell whether a string has the length and the pattern a schema asks for."""
    if not text.get("minLength", 0) <= len(value) <= text.get("maxLength", len(value)):
        return False
    return "pattern" not in text or re.search(text["pattern"], value) is not None
