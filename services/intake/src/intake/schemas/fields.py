"""Field types the bodies of intake share."""

import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import date
from functools import cache
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError
from pydantic_core.core_schema import no_info_before_validator_function

from common.codelists import code_of
from common.errors import ForbiddenError, InvalidError
from common.schema import ReadModel
from intake.domain import age

P0 = Field(json_schema_extra={"x-data-class": "P0"})
P1 = Field(json_schema_extra={"x-data-class": "P1"})

Item = TypeVar("Item")


def listed(codelist: str) -> Any:  # noqa: ANN401  (pydantic's own type for Field)
    """Name the code list an enum of the domain mirrors; a test holds them equal."""
    return Field(json_schema_extra={"x-codelist": codelist})


Absent: TypeAlias = None
"""In a PATCH body and in a GroupedRead, beside NotNull: the field may be absent, but not null."""


class _NotNull:
    # The default of an absent field is not validated: only an explicit null comes here. The union
    # stays a plain optional one, because of any other pydantic names the branch in error pointers.

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(_refuse_null, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        options = described.pop("anyOf", [])
        for option in options:
            if option != {"type": "null"}:
                described |= option
        return described


def _refuse_null(value: object) -> object:
    if value is None:
        raise PydanticKnownError("string_type")  # told as field.type
    return value


NotNull = _NotNull()


class InGroup:
    """`json_schema_extra` of a field that belongs to a data group, a code of data_groups."""

    def __init__(self, group: str, more: dict[str, str]) -> None:
        self.group = group
        self._more = more

    def __call__(self, schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        schema |= {"x-data-group": self.group, **self._more}


def in_group(group: str, *, codelist: str | None = None, data_class: str | None = None) -> Any:  # noqa: ANN401  as `listed`
    """Return the default of a field of a GroupedRead: absent for whom the data group is closed."""
    more = {"x-codelist": codelist, "x-data-class": data_class}
    return Field(
        default=None,
        json_schema_extra=InGroup(group, {k: v for k, v in more.items() if v is not None}),
    )


class GroupedRead(ReadModel):
    """An answer some of whose fields belong to data groups: `field: X | Absent = in_group(…)`.

    A field of a group the reader may not know is not in the answer at all; its route names
    `response_model_exclude_unset`. Which role knows which group stands in `data_groups.json`.
    """

    @classmethod
    def of(cls, row: object, *, groups: AbstractSet[str], **given: Any) -> Self:
        """Return what readers of these data groups may know of a row; `given` goes before it."""
        shown = _shown(cls, frozenset(groups))
        values = {name: given[name] if name in given else getattr(row, name) for name in shown}
        return cls.model_validate(values)

    @classmethod
    def require_known(cls, fields: Iterable[str], *, groups: AbstractSet[str]) -> None:
        """Refuse to write fields that are shown by these names but not to the writer.

        Raises ForbiddenError `data_group.closed`: who may not know a group changes nothing in it.
        """
        for name in sorted(cls.model_fields.keys() & fields):
            if cls.group_of(name) not in (None, *groups):
                raise ForbiddenError("data_group.closed", pointer=f"/{name}")

    @classmethod
    def group_of(cls, field: str) -> str | None:
        """Return the data group of a field; None for one that every reader may know."""
        extra = cls.model_fields[field].json_schema_extra
        return extra.group if isinstance(extra, InGroup) else None


@cache
def _shown(model: type[GroupedRead], groups: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in model.model_fields if model.group_of(name) in (None, *groups))


def patch_examples(*bodies: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """`json_schema_extra` of a PATCH body: its examples, and no defaults, since absent means stay."""

    def extend(schema: dict[str, Any]) -> None:
        schema["examples"] = list(bodies)
        for field in schema["properties"].values():
            field.pop("default", None)

    return extend


def _distinct(values: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(values))


Distinct = AfterValidator(_distinct)
"""Keep the first of each value: repeating a code says nothing."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _only_a_day(value: object) -> object:
    # pydantic would also read a number as seconds since 1970 and a time as its day.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise PydanticKnownError("date_parsing", {"error": "not a day"})
    if not isinstance(value, str | date):
        raise PydanticKnownError("date_type")
    return value


Day = Annotated[date, BeforeValidator(_only_a_day)]
"""A calendar day, `2026-11-22`, and nothing else."""


def _edtf(value: str) -> str:
    try:
        age.parse_birth(value)
    except InvalidError:
        raise PydanticCustomError("edtf_invalid", "not a partial date") from None
    return value


PartialDate = Annotated[
    str,
    AfterValidator(_edtf),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 4,
            "maxLength": 23,
            "description": "EDTF: 2008, 2008-05, 2008-05-14, each with ~ (approximate), ? "
            "(uncertain) or % (both); an interval as 2008/2010.",
            "examples": ["2008", "2008-05", "2008-05-14~", "2008/2010"],
        }
    ),
]

Years = Annotated[int, Field(ge=0, le=age.OLDEST, strict=True)]
Margin = Annotated[int, Field(ge=0, le=age.WIDEST_MARGIN, strict=True)]
Yes = Annotated[bool, Field(strict=True)]

Language = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$", max_length=11),
]
"""A BCP 47 tag of language, script where it matters, and region: `sq`, `sr-Cyrl`, `ro-MD`."""

Languages = Annotated[tuple[Language, ...], Field(max_length=10), Distinct]

AnyCountry = Annotated[str, code_of("iso_countries")]
OurCountry = Annotated[str, code_of("countries")]
Citizenships = Annotated[tuple[AnyCountry, ...], Field(max_length=5), Distinct]

Sex = Annotated[str, code_of("sex_gender")]
ProcessingBasis = Annotated[str, code_of("legal_bases", uses="PROCESSING")]
"""On which ground personal data of a case are held at all."""
