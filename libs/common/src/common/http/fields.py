"""Sparse answers: `?fields=id,identity.given_name` keeps of an answer what was asked for.

One grammar for every GET: names separated by commas, a dot leads into an object, and into each
object of a list. On a page the names are those of its items, and `next` always comes along. What
is left out was still read: the ETag is the record's, and the audit entry of sealed data that were
opened names all that was opened, also where less of it was sent.
"""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from common.errors import BadRequestError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

PARAMETER = "fields"
_MAX_NAMES = 100
_AROUND_ITEMS = frozenset({"items", "next"})

Tree = dict[str, "Tree"]
"""Names to keep; an empty tree below a name keeps all that is there."""


class Fields:
    """The fields of one kind of answer: documents them, reads the parameter, narrows the answer."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401  whatever pydantic takes as a type
        self._model = model

    @cached_property
    def _described(self) -> tuple[bool, frozenset[str]]:
        """Tell whether it is a page, and the names of its fields."""
        schema = TypeAdapter(self._model).json_schema(mode="serialization")
        definitions = schema.get("$defs", {})
        members = _resolve(schema, definitions).get("properties", {}).keys()
        is_page = "items" in members and members <= _AROUND_ITEMS
        names = frozenset(_names(schema, definitions, ()))
        if is_page:
            names = frozenset(n.removeprefix("items.") for n in names if n.startswith("items."))
        return is_page, names

    @property
    def names(self) -> frozenset[str]:
        """What may be asked for; none for an answer without fields."""
        return self._described[1]

    def described_in(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return a route's `openapi_extra` with the parameter; one that has it already stays the same."""
        others = [each for each in extra.get("parameters", []) if each["name"] != PARAMETER]
        return {**extra, "parameters": [*others, self._parameter] if self.names else others}

    @property
    def _parameter(self) -> dict[str, Any]:
        return {
            "name": PARAMETER,
            "in": "query",
            "required": False,
            "style": "form",
            "explode": False,
            "schema": {
                "type": "array",
                "maxItems": _MAX_NAMES,
                "items": {"type": "string", "enum": sorted(self.names)},
            },
            "description": "Only these fields, separated by commas; on a page, of each "
            "item. A field that this record does not have is left out. The answer then lacks "
            "fields that its schema requires: read it without that demand.",
        }

    def wanted(self, request: Request) -> Tree | None:
        """Return what the request asks for, None for everything; BadRequestError fields.unknown."""
        if not request.scope["query_string"]:
            return None
        raw = request.query_params.get(PARAMETER)
        if raw is None:
            return None
        names = raw.split(",", _MAX_NAMES)
        if len(names) > _MAX_NAMES or not self.names.issuperset(names):
            raise BadRequestError("fields.unknown", parameter=PARAMETER, known=sorted(self.names))
        tree: Tree = {}
        # The shorter first: whoever asks for an object and a part of it gets the object.
        for name in sorted(names, key=len):
            _plant(tree, name.split("."))
        return {"items": tree, "next": {}} if self._described[0] else tree

    def narrow(self, response: Response, wanted: Tree | None) -> Response:
        """Return the answer with nothing but what was wanted; its headers stay."""
        if wanted is None or not response.body:
            return response
        kept = _keep(json.loads(bytes(response.body)), wanted)
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        body = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
        return Response(body, response.status_code, headers)

    def narrowing(self, answer: Handler) -> Handler:
        """Return what answers like `answer`, with nothing but what the request wants."""

        async def narrowed(request: Request) -> Response:
            wanted = self.wanted(request)
            response = await answer(request)
            is_whole = response.status_code >= HTTPStatus.BAD_REQUEST
            return response if is_whole else self.narrow(response, wanted)

        return narrowed


def _plant(tree: Tree, steps: list[str]) -> None:
    for step in steps[:-1]:
        if step in tree and not tree[step]:
            return
        tree = tree.setdefault(step, {})
    tree[steps[-1]] = {}


def _keep(value: Any, wanted: Tree) -> Any:  # noqa: ANN401  a JSON value
    if isinstance(value, list):
        return [_keep(each, wanted) for each in value]
    if not wanted or not isinstance(value, dict):
        return value
    return {name: _keep(value[name], below) for name, below in wanted.items() if name in value}


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def _names(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[str]:
    """Yield the dotted names of all fields; one that refers to itself is followed once."""
    if schema.get("$ref") in above:
        return
    above = (*above, schema["$ref"]) if "$ref" in schema else above
    whole = _resolve(schema, definitions)
    for option in (*whole.get("anyOf", ()), *whole.get("oneOf", ())):
        yield from _names(option, definitions, above)
    if isinstance(whole.get("items"), dict):
        yield from _names(whole["items"], definitions, above)
    for name, field in whole.get("properties", {}).items():
        yield name
        for below in _names(field, definitions, above):
            yield f"{name}.{below}"
