"""The event envelope: CloudEvents 1.0, structured JSON mode, around a versioned payload."""

from typing import Any, ClassVar, Literal
from uuid import UUID

import rfc8785
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.clock import new_id, utcnow


class EventData(BaseModel):
    """Base of every payload in common.contracts: ids, codes, numbers, dates; never a free text.

    `type` reads service.aggregate.past_tense.version; topic and source are parts of it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]

    def readers(self) -> list[UUID]:
        """Return the organisations that may read the event in the change feed: those it names."""
        fields = ("organisation_id", "sending_organisation_id", "receiving_organisation_id")
        return [named for field in fields if (named := getattr(self, field, None)) is not None]


class Event(BaseModel):
    """One fact. `seq` is 1, 2, 3 … within `subject`, the aggregate the fact is about."""

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=new_id)
    source: str
    type: str
    subject: UUID
    time: AwareDatetime = Field(default_factory=utcnow)
    datacontenttype: Literal["application/json"] = "application/json"
    seq: int = Field(ge=1)
    data: dict[str, Any]

    @classmethod
    def of(cls, data: EventData, *, subject: UUID, seq: int, source: str) -> "Event":
        payload = data.model_dump(mode="json")
        return cls(source=source, type=data.type, subject=subject, seq=seq, data=payload)

    @property
    def country(self) -> str:
        """The country whose instance told this: the first part of a `source` like `/RS/referral`."""
        return self.source.lstrip("/").partition("/")[0]

    def to_bytes(self) -> bytes:
        """Return the exact bytes that are stored, signed and sent (RFC 8785 canonical JSON)."""
        return rfc8785.dumps(self.model_dump(mode="json"))


def topic_of(event_type: str) -> str:
    return event_type.rsplit(".", 2)[0]
