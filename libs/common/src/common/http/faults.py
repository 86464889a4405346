"""What is wrong with which field: read off pydantic's errors, without anything that was sent."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

# pydantic's error types → our stable codes; what is not listed is field.invalid.
FIELD_CODES = {
    "missing": "field.missing",
    "extra_forbidden": "field.unknown",
    "string_too_short": "field.length",
    "string_too_long": "field.length",
    "too_long": "field.length",
    "too_short": "field.length",
    "string_pattern_mismatch": "field.pattern",
    "enum": "field.choice",
    "literal_error": "field.choice",
    "greater_than_equal": "field.range",
    "less_than_equal": "field.range",
    "greater_than": "field.range",
    "less_than": "field.range",
    "datetime_parsing": "field.time_form",
    "datetime_from_date_parsing": "field.time_form",
    "timezone_aware": "field.time_form",
    "date_parsing": "field.date_form",
    "date_from_datetime_parsing": "field.date_form",
    "date_from_datetime_inexact": "field.date_form",
    "code_unknown": "field.code_unknown",
    "text_unsafe": "field.text_unsafe",
    "string_unicode": "field.text_unsafe",
    "time_in_future": "field.time_in_future",
    "edtf_invalid": "field.edtf_invalid",
    "id_not_random": "field.id_not_random",
}
MEMBERS = {
    "field.choice": ("choices",),
    "field.code_unknown": ("codelist",),
    "field.unknown": ("known",),
}
"""What a fault says besides, where it can."""
_TYPE_ENDINGS = ("_type", "_parsing", "_from_float", "_attributes_type")
POINTER = {
    "type": "string",
    "description": "RFC 6901: leads to the field of the body, or to the object around an unknown "
    "one. Only where `location` is body.",
}
_MAX_KNOWN = 40
"""Names listed for an unknown field; where there are more, this description has them."""

_QUOTED = re.compile(r"'([^']*)'")


def field_problems(errors: Sequence[Any], body: Any = None) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return each fault once it is readable; `body` is FastAPI's field of the body, if there is one."""
    return [_with_known(field_problem(error), error, body) for error in errors]


def field_problem(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return code, location and pointer (or parameter) of one of pydantic's errors."""
    kind, (location, *path) = error["type"], error["loc"]
    code = FIELD_CODES.get(kind) or (
        "field.type" if kind.endswith(_TYPE_ENDINGS) else "field.invalid"
    )
    if kind == "missing" and location == "body" and not path and error.get("input") is None:
        code = "body.missing"
    if kind == "extra_forbidden":
        path = path[:-1]  # the field's name is the caller's text
    place = (
        {"pointer": "".join(f"/{_escape(part)}" for part in path)}
        if location == "body"
        else {"parameter": str(path[0])}
    )
    return {"code": code, "location": str(location), **place, **_bounds(error)}


def _bounds(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the value may be, where the error tells it."""
    context = error.get("ctx") or {}
    if error["type"] in {"enum", "literal_error"}:
        choices = _QUOTED.findall(context.get("expected", ""))
        return {"choices": choices} if choices else {}
    return {"codelist": context["codelist"]} if "codelist" in context else {}


def _with_known(
    problem: dict[str, Any],
    error: Mapping[str, Any],
    body: Any,  # noqa: ANN401
) -> dict[str, Any]:
    if problem["code"] != "field.unknown" or body is None:
        return problem
    steps = tuple(0 if isinstance(step, int) else str(step) for step in error["loc"][1:-1])
    known = _known(body.field_info.annotation, steps)
    return {**problem, "known": list(known)} if 0 < len(known) <= _MAX_KNOWN else problem


@lru_cache(maxsize=512)
def _known(model: Any, steps: tuple[str | int, ...]) -> tuple[str, ...]:  # noqa: ANN401
    """Return the fields of the object to which `steps` lead in a body of this model."""
    schema = TypeAdapter(model).json_schema()
    places = list(_options(schema, schema.get("$defs", {})))
    for step in steps:
        places = [
            option
            for place in places
            if (below := _below(place, step)) is not None
            for option in _options(below, schema.get("$defs", {}))
        ]
    return tuple(dict.fromkeys(name for place in places for name in place.get("properties", ())))


def _below(schema: Mapping[str, Any], step: str | int) -> Mapping[str, Any] | None:
    found = schema.get("items") if step == 0 else schema.get("properties", {}).get(step)
    return found if isinstance(found, dict) else None


def _options(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    several = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    for option in several:
        yield from _options(option, definitions)
    if not several:
        yield schema


def _escape(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
