"""The event envelope: CloudEvents 1.0, structured JSON mode, around a versioned payload."""

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

import orjson
import rfc8785
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from common.clock import new_id, utcnow
from common.telemetry import TRACEPARENT

_SORTED = orjson.OPT_SORT_KEYS
_GREATEST = 2**53 - 1
_PLAIN, _LISTS = frozenset({str, bool, type(None)}), (list, tuple)

CHECKSUM_SCHEMA = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "SHA-256, in hex, of the event's canonical JSON (RFC 8785) without this member.",
}
_CHECKSUM, _END, _HEX = b'{"checksum":"', b'",', 64
_BEFORE_CHECKSUMS = b'{"data":'
"""With what the events of releases that wrote no checksum begin."""
_VERSION = re.compile(r"(.+)\.v[0-9]{1,4}")


class EventData(BaseModel):
    """Base of every payload in common.contracts: ids, codes, numbers, dates; never a free text.

    `type` reads service.aggregate.past_tense.version; topic and source are parts of it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    type: ClassVar[str]

    _is_for_nobody: ClassVar[bool] = False

    def concerned(self, owner: UUID | None, also: UUID | None) -> tuple[UUID | None, UUID | None]:
        """Return who may read it in the change feed: the first two of its readers.

        Of an event that names none, `owner`, whose record it is; `also` where the second is left open.
        """
        if self._is_for_nobody:
            return None, None
        named = self.readers() or [owner]
        return named[0], named[1] if len(named) > 1 else None if also in named else also

    def for_nobody(self) -> Self:
        """Return it for the other services alone: no organisation reads it in the change feed."""
        copy = self.model_copy()
        copy.__dict__["_is_for_nobody"] = True  # beside its fields, so not told; frozen otherwise
        return copy

    def readers(self) -> list[UUID | None]:
        """Return the organisations that may read the event in the change feed: those it names.

        First the one whose record it is, then one it concerns besides; None keeps a place empty. No
        places leave both to the record that is changed.
        """
        fields = _naming(type(self))
        return [named for field in fields if (named := getattr(self, field)) is not None]


@cache
def _naming(kind: type[EventData]) -> tuple[str, ...]:
    """Return the fields in which events of a kind name organisations, in the order of the readers."""
    fields = ("organisation_id", "sending_organisation_id", "receiving_organisation_id")
    return tuple(field for field in fields if field in kind.model_fields)


def _trace_or_none(value: object) -> object:
    # How a fact was traced is no reason to refuse the fact.
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


class Event(BaseModel):
    """One fact. `seq` is 1, 2, 3 … within `subject`, the aggregate the fact is about.

    `traceparent` (CloudEvents' Distributed Tracing extension) names the request that caused it;
    random numbers, absent where there was none.
    """

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=new_id)
    source: str
    type: str
    subject: UUID
    time: AwareDatetime = Field(default_factory=utcnow)
    datacontenttype: Literal["application/json"] = "application/json"
    seq: int = Field(ge=1)
    traceparent: Annotated[str | None, BeforeValidator(_trace_or_none)] = None
    data: dict[str, Any]

    @classmethod
    def of(
        cls,
        data: EventData,
        *,
        subject: UUID,
        seq: int,
        source: str,
        traceparent: str | None = None,
    ) -> "Event":
        return cls(
            source=source,
            type=data.type,
            subject=subject,
            seq=seq,
            traceparent=traceparent,
            data=data.model_dump(mode="json"),
        )

    @property
    def country(self) -> str:
        """The country whose instance told this: the first part of a `source` like `/RS/referral`."""
        return self.source.lstrip("/").partition("/")[0]

    def to_bytes(self) -> bytes:
        """Return the exact bytes that are stored, signed and sent (RFC 8785 canonical JSON).

        Their first member is the checksum of the others: see `from_bytes`.
        """
        plain = self._plain()
        checksum = hashlib.sha256(plain).hexdigest().encode()
        return _CHECKSUM + checksum + _END + plain[1:]

    def _plain(self) -> bytes:
        if self.time.tzinfo is UTC and _is_simple((self.data, self.seq)):
            members = {name: each for name, each in self.__dict__.items() if each is not None}
            with suppress(TypeError):
                return orjson.dumps(members, option=_SORTED | orjson.OPT_UTC_Z)
        members = self.model_dump(mode="json")
        if self.traceparent is None:
            del members["traceparent"]  # CloudEvents knows no null
        return canonical(members)

    def emptied(self) -> "Event":
        """Return what is left of it once its content was erased: its id and its place in the order.

        Who has seen the event drops this as seen; to anybody else it is an event that says nothing.
        """
        return self.model_copy(update={"type": emptied_type(topic_of(self.type)), "data": {}})

    @property
    def is_emptied(self) -> bool:
        """Whether nothing is left of it: one that says something is no such event, whatever its type."""
        return not self.data and self.type == emptied_type(topic_of(self.type))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return the event that was written as these bytes; ValueError for any others.

        One bit that turns on a disk makes of an id another id, of a case another case. Whoever may
        write to a topic can make a checksum too: it shows damage and proves nobody's hand.
        """
        if not raw.startswith(_BEFORE_CHECKSUMS):
            end = len(_CHECKSUM) + _HEX
            plain = b"{" + raw[end + len(_END) :]
            checksum = hashlib.sha256(plain).hexdigest().encode()
            if raw[: end + len(_END)] != _CHECKSUM + checksum + _END:
                raise ValueError("not as it was written")
        return cls.model_validate_json(raw)


def topic_of(event_type: str) -> str:
    return event_type.rsplit(".", 2)[0]


def emptied_type(topic: str) -> str:
    return f"{topic}.emptied.v1"


def is_another_version(event_type: str, known: Iterable[str]) -> bool:
    """Tell whether a type is one of those known but for its version.

    Only another release knows then what it says; to pass it over would lose a fact that is wanted.
    """
    if (match := _VERSION.fullmatch(event_type)) is None:
        return False
    return any(each is not None and each[1] == match[1] for each in map(_VERSION.fullmatch, known))


def canonical(value: Any) -> bytes:  # noqa: ANN401
    """Return RFC 8785 canonical JSON: the same bytes wherever the same value is written.

    What events and audit entries are made of (texts, whole numbers, lists) orjson writes alike at a
    fraction of the cost. ValueError for what has no such form.
    """
    if _is_simple(value):
        with suppress(TypeError):  # half a character, or deeper than it goes
            return orjson.dumps(value, option=_SORTED)
    return rfc8785.dumps(value)


def _is_simple(value: object) -> bool:
    """Tell whether both encoders write `value` alike: no float, no great number, no key to argue of."""
    found = [value]
    for each in found:  # which grows by what is inside
        kind = type(each)
        if kind in _PLAIN:
            continue
        if isinstance(each, dict):
            if not "".join(each).isascii():
                return False
            found += each.values()
        elif isinstance(each, _LISTS):
            found += each
        elif not (kind is int and -_GREATEST <= each <= _GREATEST):  # type: ignore[operator]
            return False
    return True
