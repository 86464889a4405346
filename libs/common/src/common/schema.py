"""The forms of bodies: strict models and strings that cannot hide anything."""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, Self, TypeAlias, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError
from pydantic_core.core_schema import no_info_before_validator_function

from common.clock import utcnow
from common.errors import ForbiddenError

# FastAPI gives a body this alias and silences the warning of it while it makes the route; a body is
# built later, when it is first used.
warnings.filterwarnings("ignore", "The 'alias' attribute with value 'body'")

_UNGUESSED = {"int", "float", "bool"}


def _unguessed(schema: Any) -> Any:  # noqa: ANN401  a core schema or what stands in one
    if isinstance(schema, list | tuple):
        return type(schema)(_unguessed(each) for each in schema)
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in _UNGUESSED:
        return {**schema, "strict": True}
    return {
        key: value if key in {"metadata", "serialization", "default"} else _unguessed(value)
        for key, value in schema.items()
    }


class StrictModel(BaseModel):
    """Base of every request body: unknown fields are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        """Take a number for a number and a flag for a flag only: "5" is not 5, 1 is not true.

        pydantic's own strict mode would also refuse the dates, ids and codes that JSON can only
        write as strings.
        """
        return cast(CoreSchema, _unguessed(handler(source)))


class ReadModel(BaseModel):
    """Base of every answer: exactly the declared fields, read from a row or another model."""

    model_config = ConfigDict(from_attributes=True, frozen=True, defer_build=True)


def clean_text(value: str) -> str:
    """Return `value` in NFC; refuse NUL, controls, surrogates and text direction tricks.

    Newline and tab stay; they are part of notes. Bidirectional controls are refused because they
    let a name look like another one.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "text_unsafe", "text holds a character that is not allowed"
        ) from None
    # Before normalising, which takes time by the square of a run of marks.
    if _MARKS.search(value) and not _is_stream_safe(value):
        raise PydanticCustomError("text_unsafe", "text holds a character that is not allowed")
    text = unicodedata.normalize("NFC", value)
    if text.isprintable():  # holds none of what is looked for below
        return text
    for character in text:
        category = unicodedata.category(character)
        if category in {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"} and character not in "\n\t\u200d":
            raise PydanticCustomError("text_unsafe", "text holds a character that is not allowed")
    return text


_MOST_MARKS = 30
"""In a row, as the Stream-Safe Text Format of UAX #15 has it; no language writes as many."""

_MARKS = re.compile(rf"[^\x00-\u02ff]{{{_MOST_MARKS + 1}}}")
"""Where too many marks could be: all of them stand after the Latin letters."""


def _is_stream_safe(text: str) -> bool:
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MOST_MARKS:
            return False
    return True


def _one_line(value: str) -> str:
    if "\n" in value or "\t" in value:
        raise PydanticCustomError("text_unsafe", "text holds a character that is not allowed")
    return value


ShortText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(clean_text),
    AfterValidator(_one_line),
]
"""One line of free text. Personal data: it is sealed where it is stored, never put in an event."""

LongText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=10_000, strip_whitespace=True),
    AfterValidator(clean_text),
]
"""Free text with line breaks. Personal data: sealed where stored, never put in an event."""

RANDOM_VERSIONS = frozenset({4, 7})
"""RFC 9562: the others are made of a clock and a machine's address, or of a name, and whoever knows
these knows the id; one of no version at all (nothing but zeros) is a value somebody forgot to set."""


def _not_guessable(value: UUID) -> UUID:
    if value.version not in RANDOM_VERSIONS:
        raise PydanticCustomError("id_not_random", "an id must be a UUID of version 4 or 7")
    return value


NewId = Annotated[UUID, AfterValidator(_not_guessable)]
"""The id of a record, chosen by its sender; nobody can guess one, or meet one by chance.

Within a service it is the id of one record only, of whatever kind: a case cannot have its notice's.
"""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


def _not_in_future(value: datetime) -> datetime:
    # Five minutes: the clock difference between a partner's machine and ours that we accept.
    if (value - utcnow()).total_seconds() > 300:  # noqa: PLR2004
        raise PydanticCustomError("time_in_future", "the time lies in the future")
    return value


_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def _only_rfc3339(value: object) -> object:
    # pydantic would also read a number, as seconds or milliseconds by its size.
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise PydanticKnownError("datetime_parsing", {"error": "not RFC 3339"})
    elif not isinstance(value, datetime):
        raise PydanticKnownError("datetime_type")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # within hours of the first or the last year
        raise PydanticKnownError("datetime_parsing", {"error": "not in UTC"}) from None


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_only_rfc3339),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An RFC 3339 time; answers are in UTC."""

PastInstant = Annotated[Instant, AfterValidator(_not_in_future)]
"""A time at which something happened: not more than five minutes ahead of this server."""


def _only_a_day(value: object) -> object:
    # pydantic would also read a time at midnight, and a number as seconds.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise PydanticKnownError("date_parsing", {"error": "not YYYY-MM-DD"})
    if not isinstance(value, str | date) or isinstance(value, datetime):
        raise PydanticKnownError("date_type")
    return value


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Day = Annotated[date, BeforeValidator(_only_a_day)]
"""A calendar day of the country, as an RFC 3339 full-date."""


def coded(codelist: str, description: str | None = None) -> Any:  # noqa: ANN401  as Field is typed
    """Return the field of an answer that holds a code of this list, or several of them."""
    return Field(description=description, json_schema_extra={"x-codelist": codelist})


def examples(*bodies: dict[str, Any]) -> dict[str, Any]:
    """`json_schema_extra` with whole examples; every one runs as a test."""
    return {"examples": list(bodies)}


# --- fields that are not for every reader

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


def in_group(
    group: str,
    *,
    codelist: str | None = None,
    data_class: str | None = None,
    description: str | None = None,
) -> Any:  # noqa: ANN401  as `coded`
    """Return the default of a field of a GroupedRead: absent for whom the data group is closed."""
    more = {"x-codelist": codelist, "x-data-class": data_class}
    return Field(
        default=None,
        description=description,
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
