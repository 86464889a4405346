"""The one filter grammar: `field=value`, `field.gte=…`, `field.lt=…`, `field.in=a,b`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute
from starlette.requests import Request

from common.errors import BadRequestError
from common.unit import AnySelect

Kind = Literal["code", "id", "date", "time", "flag", "number"]
_ORDERED = ("gte", "gt", "lte", "lt")
_OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "code": ("in",),
    "id": ("in",),
    "flag": (),
    "date": _ORDERED,
    "time": _ORDERED,
    "number": _ORDERED,
}
_MEANINGS = {
    "": "Only what has exactly this value.",
    "in": "Only what has one of these values, separated by commas; 50 at most.",
    "gte": "Only what has this value or a later or greater one.",
    "gt": "Only what has a later or greater value.",
    "lte": "Only what has this value or an earlier or lesser one.",
    "lt": "Only what has an earlier or lesser value.",
}
_MAX_IN = 50
_MAX_NUMBER = 2**31 - 1
_FORMS: Mapping[Kind, re.Pattern[str]] = {
    "code": re.compile(r"[A-Za-z0-9_.-]{1,40}"),
    "id": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "time": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
        r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
    ),
    "flag": re.compile(r"true|false"),
    "number": re.compile(r"-?[0-9]{1,10}"),
}
"""RFC 3339 and nothing looser: Python's own parsers take more forms than the documentation names."""

_WRITTEN: Mapping[Kind, str] = {
    "code": "CODE",
    "id": "UUID",
    "date": "2026-01-31",
    "time": "2026-01-31T10:00:00Z",
    "flag": "true",
    "number": "7",
}
"""How a value of each kind is written, for a caller who wrote it otherwise."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One field a list may be filtered by: a column, or an expression of columns."""

    column: InstrumentedAttribute[Any] | ColumnElement[Any]
    kind: Kind
    choices: frozenset[str] | None = None


class Filters:
    """The fields of one list. `openapi` documents them, `apply` narrows the statement."""

    def __init__(self, **fields: Filter) -> None:
        self._fields = fields

    @property
    def names(self) -> list[str]:
        return [
            name if operator is None else f"{name}.{operator}"
            for name, field in self._fields.items()
            for operator in (None, *_OPERATORS[field.kind])
        ]

    @property
    def openapi(self) -> dict[str, Any]:
        """`openapi_extra` of the route; the route then accepts exactly these parameters."""
        return {"parameters": [self._parameter(name) for name in self.names]}

    def apply(self, statement: AnySelect, request: Request) -> AnySelect:
        """Narrow `statement` by the query; BadRequestError filter.invalid for a bad value."""
        for key, raw in request.query_params.multi_items():
            name, _, operator = key.partition(".")
            field = self._fields.get(name)
            if field is None or key not in self.names:
                continue  # the route's own parameters; unknown ones were refused before
            statement = statement.where(_condition(field, operator, raw, key))
        return statement

    def _parameter(self, name: str) -> dict[str, Any]:
        field = self._fields[name.partition(".")[0]]
        schema: dict[str, Any] = {
            "code": {"type": "string"},
            "id": {"type": "string", "format": "uuid"},
            "date": {"type": "string", "format": "date"},
            "time": {"type": "string", "format": "date-time"},
            "flag": {"type": "boolean"},
            "number": {"type": "integer"},
        }[field.kind]
        if field.choices and "." not in name:
            schema = {**schema, "enum": sorted(field.choices)}
        if name.endswith(".in"):
            schema = {"type": "string"}
        meaning = _MEANINGS[name.partition(".")[2]]
        return {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": meaning,
        }


def _condition(field: Filter, operator: str, raw: str, key: str) -> Any:  # noqa: ANN401
    if field.kind == "time" and _FORMS["time"].fullmatch(raw.replace(" ", "+")) and " " in raw:
        # In a query a plus sign stands for a space (HTML forms' encoding).
        raise BadRequestError("filter.plus_as_space", parameter=key)
    try:
        if operator == "in":
            return field.column.in_([_value(field, part) for part in _parts(raw)])
        value = _value(field, raw)
    except (ValueError, OverflowError):
        form = _WRITTEN[field.kind]
        if field.choices:
            choices = sorted(field.choices)
            raise BadRequestError(
                "filter.invalid", parameter=key, form=form, choices=choices
            ) from None
        raise BadRequestError("filter.invalid", parameter=key, form=form) from None
    comparisons: dict[str, Callable[[Any], Any]] = {
        "": field.column.__eq__,
        "gte": field.column.__ge__,
        "gt": field.column.__gt__,
        "lte": field.column.__le__,
        "lt": field.column.__lt__,
    }
    return comparisons[operator](value)


def _parts(raw: str) -> list[str]:
    parts = raw.split(",")
    if len(parts) > _MAX_IN:
        raise ValueError("too many values")
    return parts


def _value(field: Filter, raw: str) -> Any:  # noqa: ANN401
    if not _FORMS[field.kind].fullmatch(raw) or (field.choices and raw not in field.choices):
        raise ValueError("not of this form")
    return _PARSERS[field.kind](raw)


def _time(raw: str) -> datetime:
    return datetime.fromisoformat(raw.upper()).astimezone(UTC)


def _number(raw: str) -> int:
    value = int(raw)
    if abs(value) > _MAX_NUMBER:
        raise ValueError("more than a column holds")
    return value


_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    "code": str,
    "id": UUID,
    "date": date.fromisoformat,
    "time": _time,
    "flag": "true".__eq__,
    "number": _number,
}
