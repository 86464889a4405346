"""Field types the bodies of intake share."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from common.codelists import code_of
from common.errors import InvalidError
from intake.domain import age

P0 = Field(json_schema_extra={"x-data-class": "P0"})
P1 = Field(json_schema_extra={"x-data-class": "P1"})

Item = TypeVar("Item")


def listed(codelist: str) -> Any:  # noqa: ANN401  (pydantic's own type for Field)
    """Name the code list an enum of the domain mirrors; a test holds them equal."""
    return Field(json_schema_extra={"x-codelist": codelist})


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

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
Language = Annotated[str, StringConstraints(pattern=rf"^{LANGUAGE.pattern}$", max_length=11)]
"""A BCP 47 tag of language, script where it matters, and region: `sq`, `sr-Cyrl`, `ro-MD`."""

FOREIGN_CODE = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}"
"""The form of a code that another country's register may have and ours has not; no sentence fits."""

Languages = Annotated[tuple[Language, ...], Field(max_length=10), Distinct]

AnyCountry = Annotated[str, code_of("iso_countries")]
OurCountry = Annotated[str, code_of("countries")]
Citizenships = Annotated[tuple[AnyCountry, ...], Field(max_length=5), Distinct]

Sex = Annotated[str, code_of("sex_gender")]
ProcessingBasis = Annotated[str, code_of("legal_bases", uses="PROCESSING")]
"""On which ground personal data of a case are held at all."""
