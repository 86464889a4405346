from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticKnownError

from common.schema import (
    Absent,
    GroupedRead,
    Instant,
    LongText,
    NotNull,
    ReadModel,
    ShortText,
    StrictModel,
    clean_text,
    examples,
    in_group,
)
from intake.domain.document import is_likely
from intake.domain.names import Script, script_of
from intake.schemas.case import CaseRead
from intake.schemas.fields import P0, AnyCountry, PartialDate

Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$", max_length=16)]
"""E.164, as `+38164000000`."""

Email = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$", max_length=254),
    AfterValidator(clean_text),
]

DocumentNumber = Annotated[ShortText, Field(max_length=40)]


class DocumentKind(StrEnum):
    PASSPORT = "PASSPORT"
    IDENTITY_CARD = "IDENTITY_CARD"
    NATIONAL_NUMBER = "NATIONAL_NUMBER"
    BIRTH_CERTIFICATE = "BIRTH_CERTIFICATE"
    RESIDENCE_PERMIT = "RESIDENCE_PERMIT"
    DRIVING_LICENCE = "DRIVING_LICENCE"
    OTHER = "OTHER"


class Name(StrictModel):
    """A name as it is written, and its script (ISO 15924); read off the letters if absent."""

    value: Annotated[ShortText, P0]
    script: Annotated[Script, Field(json_schema_extra=lambda field: field.pop("default", None))] = (
        Script.ZYYY
    )

    @model_validator(mode="before")
    @classmethod
    def _read_script(cls, data: object) -> object:
        if isinstance(data, dict) and "script" not in data and isinstance(data.get("value"), str):
            return data | {"script": script_of(data["value"])}
        return data


class Document(StrictModel):
    """A number on a paper. An unlikely national number is warned of and never refused.

    Papers may be forged. Checked are NATIONAL_NUMBERs of AL, BA, BG, ME, MK, RO, RS and XK: form and
    check digit.
    """

    kind: DocumentKind
    number: Annotated[DocumentNumber, P0]
    country: Annotated[AnyCountry, P0]


class DocumentRead(ReadModel):
    """A number on a paper as it was written down; another country's codes may be none of ours."""

    kind: DocumentKind
    number: Annotated[str, P0]
    country: Annotated[str, P0] = Field(json_schema_extra={"x-codelist": "iso_countries"})


class IdentityWrite(StrictModel):
    """Who a person is, whole: what is absent here is forgotten. Sealed as soon as it arrives."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "given_name": {"value": "Milica", "script": "Latn"},
                "family_name": {"value": "Đorđević", "script": "Latn"},
                "other_names": [{"value": "Милица Ђорђевић", "script": "Cyrl"}],
                "birth_date": "2008-05-14",
                "birth_place": "Vranje",
                "address": "Ulica lipa 7, Vranje",
                "phones": ["+381640000000"],
                "documents": [
                    {"kind": "NATIONAL_NUMBER", "number": "1405008999999", "country": "RS"}
                ],
            },
            {
                "given_name": {"value": "Љупчо"},
                "family_name": {"value": "Ѓоргиевски"},
                "birth_date": "1994~",
                "birth_place": "Куманово",
                "email": "ljupco@example.org",
            },
            {
                "given_name": {"value": "Blerta"},
                "family_name": {"value": "Hoxhë-Çeliku"},
                "birth_date": "2007/2009",
                "documents": [{"kind": "PASSPORT", "number": "P00000000", "country": "XK"}],
            },
        )
    )

    given_name: Name | None = None
    family_name: Name | None = None
    other_names: tuple[Name, ...] = Field(default=(), max_length=20)
    birth_date: Annotated[PartialDate | None, P0] = None
    birth_place: Annotated[ShortText | None, P0] = None
    address: Annotated[LongText | None, P0] = None
    phones: Annotated[tuple[Phone, ...], P0] = Field(default=(), max_length=10)
    email: Annotated[Email | None, P0] = None
    documents: tuple[Document, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _say_something(self) -> "IdentityWrite":
        # An empty body would forget everything by accident; erasure is an act of its own.
        if not any(getattr(self, field) for field in type(self).model_fields):
            raise PydanticKnownError("missing")
        return self


class IdentityRead(GroupedRead):
    """Who a person is. Reading it is entered in the audit trail before it is given."""

    case_id: UUID
    given_name: Name | None = in_group("IDENTITY")
    family_name: Name | None = in_group("IDENTITY")
    other_names: Annotated[tuple[Name, ...] | Absent, NotNull] = in_group("IDENTITY")
    birth_date: str | None = in_group("IDENTITY", data_class="P0")
    birth_place: str | None = in_group("IDENTITY", data_class="P0")
    address: str | None = in_group("CONTACT", data_class="P0")
    phones: Annotated[tuple[str, ...] | Absent, NotNull] = in_group("CONTACT", data_class="P0")
    email: str | None = in_group("CONTACT", data_class="P0")
    documents: Annotated[tuple[DocumentRead, ...] | Absent, NotNull] = in_group("IDENTITY")
    data_groups: tuple[str, ...] = Field(
        description="What the caller may know; the fields of other groups are absent.",
        json_schema_extra={"x-codelist": "data_groups"},
    )
    recorded_at: Instant


class Warned(ReadModel):
    """Something in what was written that is unlikely, and was taken all the same."""

    code: Literal["document.checksum"]
    pointer: str = Field(
        pattern=r"^/documents/[0-9]{1,2}/number$",
        description="Where it stands in the body that was sent (RFC 6901).",
    )


class IdentityWritten(CaseRead):
    """The facts of the case after the writing, and what of it is unlikely."""

    warnings: tuple[Warned, ...]


def warnings_about(documents: Sequence[Document]) -> tuple[Warned, ...]:
    """Return a warning for each national number without the form or check digit of its country."""
    return tuple(
        Warned(code="document.checksum", pointer=f"/documents/{place}/number")
        for place, document in enumerate(documents)
        if document.kind is DocumentKind.NATIONAL_NUMBER
        and not is_likely(document.number, document.country)
    )
