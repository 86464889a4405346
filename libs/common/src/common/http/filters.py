"""The one filter grammar: `field=value`, `field.gte=…`, `field.lt=…`, `field.in=a,b`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
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
_MAX_IN = 50
_MAX_CODE = 40


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
        return {"name": name, "in": "query", "required": False, "schema": schema}


def _condition(field: Filter, operator: str, raw: str, key: str) -> Any:  # noqa: ANN401
    try:
        if operator == "in":
            return field.column.in_([_value(field, part) for part in raw.split(",", _MAX_IN)])
        value = _value(field, raw)
    except ValueError:
        raise BadRequestError("filter.invalid", filter=key) from None
    comparisons: dict[str, Callable[[Any], Any]] = {
        "": field.column.__eq__,
        "gte": field.column.__ge__,
        "gt": field.column.__gt__,
        "lte": field.column.__le__,
        "lt": field.column.__lt__,
    }
    return comparisons[operator](value)


def _value(field: Filter, raw: str) -> Any:  # noqa: ANN401
    return _PARSERS[field.kind](raw) if field.kind != "code" else _code(field, raw)


def _code(field: Filter, raw: str) -> str:
    if not raw or len(raw) > _MAX_CODE or (field.choices and raw not in field.choices):
        raise ValueError("unknown code")
    return raw


def _time(raw: str) -> datetime:
    value = datetime.fromisoformat(raw)
    if value.tzinfo is None:
        raise ValueError("needs an offset")
    return value


def _flag(raw: str) -> bool:
    if raw not in {"true", "false"}:
        raise ValueError("not a flag")
    return raw == "true"


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "id": UUID,
    "date": date.fromisoformat,
    "time": _time,
    "number": int,
    "flag": _flag,
}
