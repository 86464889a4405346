"""The forms of bodies: strict models and strings that cannot hide anything."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError

from common.clock import utcnow

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

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    model_config = ConfigDict(from_attributes=True, frozen=True)


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


def _to_rfc3339(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


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
    PlainSerializer(_to_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An RFC 3339 time; answers are in UTC."""

PastInstant = Annotated[Instant, AfterValidator(_not_in_future)]
"""A time at which something happened: not more than five minutes ahead of this server."""


def coded(codelist: str, description: str | None = None) -> Any:  # noqa: ANN401  as Field is typed
    """Return the field of an answer that holds a code of this list, or several of them."""
    return Field(description=description, json_schema_extra={"x-codelist": codelist})


def examples(*bodies: dict[str, Any]) -> dict[str, Any]:
    """`json_schema_extra` with whole examples; every one runs as a test."""
    return {"examples": list(bodies)}
