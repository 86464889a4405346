"""Code lists: the closed sets of codes, with labels, validity and the codes of other standards.

A list is a JSON file in this folder, loaded when first asked for and kept. Its codes are what the
API, the databases and the events carry; labels are for people only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from common.clock import utcnow
from common.messages import fallbacks
from common.schema import ReadModel

Condition = str | int | bool
"""What an attribute must equal, or, where it is a list, hold."""

_MAX_ENUM = 60


class Source(ReadModel):
    """Where a rule or a code of the list comes from."""

    title: str
    url: str | None = None
    licence: str | None = None


class CodeItem(ReadModel):
    """One code. `valid_from` and `valid_to` are its first and last day; null means no limit."""

    code: str
    labels: dict[str, str]
    valid_from: date | None
    valid_to: date | None
    crosswalks: dict[str, str | None]
    attributes: dict[str, JsonValue]

    def is_valid(self, on: date) -> bool:
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_to is None or on <= self.valid_to
        )

    def label(self, language: str) -> str:
        """Return the label in `language`, else in the nearest language that has one."""
        for tag in fallbacks(language):
            if tag in self.labels:
                return self.labels[tag]
        return next(iter(self.labels.values()), self.code)

    def meets(self, name: str, condition: Condition) -> bool:
        found = self.attributes.get(name)
        return condition in found if isinstance(found, list) else found == condition


class CodeList(ReadModel):
    """One list. `crosswalks` of an item hold the codes of other standards exactly as published."""

    codelist: str
    title: str
    version: str
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    translation_status: str | None
    tables: dict[str, JsonValue]
    items: tuple[CodeItem, ...]


@cache
def names() -> tuple[str, ...]:
    """Return the names of all lists, in order."""
    folder = files(__package__).iterdir()
    return tuple(sorted(f.name.removesuffix(".json") for f in folder if f.name.endswith(".json")))


@cache
def codelist(name: str) -> CodeList:
    """Return a list; LookupError for a name that no list has."""
    if name not in names():
        raise LookupError(f"no code list {name}")
    return CodeList.model_validate_json(files(__package__).joinpath(f"{name}.json").read_bytes())


def codes(name: str, on: date | None = None, **where: Condition) -> frozenset[str]:
    """Return the codes valid on a day, today (UTC) if none is given.

    `where` narrows them by attributes: `codes("ics_tip", kind="act")`,
    `codes("service_types", phases="CRISIS")`. LookupError for an attribute that no item has.
    """
    return _codes(name, _day(name, on), tuple(sorted(where.items())))


def all_codes(name: str, **where: Condition) -> frozenset[str]:
    """Return the codes of a list whatever their validity: for records and events of any age."""
    return _codes(name, None, tuple(sorted(where.items())))


def label(name: str, code: str, language: str) -> str:
    """Return what people call a code; LookupError for a code that the list never had.

    A missing language is replaced by the nearest: the other Serbian script, Bosnian for Croatian
    and Montenegrin, then English.
    """
    return _item(name, code).label(language)


def crosswalk(name: str, code: str, scheme: str) -> str | None:
    """Return the code another standard uses, as published; None where it has no counterpart.

    LookupError for an unknown code, or a scheme that the list does not know at all.
    """
    if not any(scheme in item.crosswalks for item in codelist(name).items):
        raise LookupError(f"no crosswalk {scheme} in {name}")
    return _item(name, code).crosswalks.get(scheme)


@dataclass(frozen=True, slots=True)
class CodeOf:
    """The pydantic annotation that `code_of` makes."""

    name: str
    ever: bool
    where: tuple[tuple[str, Condition], ...]

    def __get_pydantic_core_schema__(
        self,
        source: Any,  # noqa: ANN401  pydantic's own signature
        handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        json_schema = handler(schema)
        json_schema["x-codelist"] = self.name
        known = _codes(self.name, None, self.where)
        if len(known) <= _MAX_ENUM:
            # All that ever were, in the list's order: the description must not change with the day.
            json_schema["enum"] = [i.code for i in codelist(self.name).items if i.code in known]
        return json_schema

    def _check(self, value: str) -> str:
        if value not in _codes(self.name, None if self.ever else _day(self.name), self.where):
            raise PydanticCustomError(
                "code_unknown", "the code is not in the list {codelist}", {"codelist": self.name}
            )
        return value


def code_of(name: str, *, ever: bool = False, **where: Condition) -> CodeOf:
    """Return an annotation for a field that takes a code of the list valid today.

    `Urgency = Annotated[str, code_of("urgency")]`. `ever=True` takes codes of any time, for answers
    and events about the past. `where` narrows as in `codes`. The JSON Schema lists the codes where
    they are 60 or fewer and names the list as `x-codelist`. LookupError for an unknown list.
    """
    if name not in names():
        raise LookupError(f"no code list {name}")
    return CodeOf(name, ever, tuple(sorted(where.items())))


@cache
def _by_code(name: str) -> dict[str, CodeItem]:
    return {item.code: item for item in codelist(name).items}


def _item(name: str, code: str) -> CodeItem:
    try:
        return _by_code(name)[code]
    except KeyError:
        raise LookupError(f"no such code in {name}") from None


def _day(name: str, on: date | None = None) -> date | None:
    """Return the day to choose by; None for a list without dates, which needs no clock."""
    return (on or utcnow().date()) if _is_dated(name) else None


@cache
def _is_dated(name: str) -> bool:
    return any(item.valid_from or item.valid_to for item in codelist(name).items)


@lru_cache(maxsize=1024)
def _codes(name: str, day: date | None, where: tuple[tuple[str, Condition], ...]) -> frozenset[str]:
    items = codelist(name).items
    for attribute, _ in where:
        if not any(attribute in item.attributes for item in items):
            raise LookupError(f"no attribute {attribute} in {name}")
    return frozenset(item.code for item in _valid(items, day) if all(item.meets(*w) for w in where))


def _valid(items: tuple[CodeItem, ...], day: date | None) -> Iterator[CodeItem]:
    return (item for item in items if day is None or item.is_valid(day))
