from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from common.contracts.types import SubjectId
from common.schema import Day, Instant, NewId, ReadModel, StrictModel, examples
from intake.domain.marker import Marker
from intake.schemas.fields import listed


class MarkerRecord(StrictModel):
    """A marker of the person's situation, with the days on which it was so."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "7e2a4c10-93d5-4b8e-a1f0-5c6d7e8f9a0b",
                "marker": "LONE_PARENT",
                "since": "2025-11-20",
            },
            {
                "id": "2b9f6d31-0c7a-4e52-8b14-9d3e5f7a1c26",
                "marker": "STREET_CHILD",
                "since": "2006-03-01",
                "until": "2007-02-28",
            },
        )
    )

    id: NewId = Field(description="Chosen by the caller; sending it again changes nothing.")
    marker: Annotated[Marker, listed("population_markers")]
    since: Day = Field(description="The first day on which it was so, as far as is known.")
    until: Day | None = Field(default=None, description="The last day; absent while it is so.")


class MarkerEnd(StrictModel):
    """The end of a marker. The row it ends stays as it was recorded."""

    model_config = ConfigDict(json_schema_extra=examples({}, {"until": "2025-11-21"}))

    until: Day | None = Field(default=None, description="The last day; today, if absent.")


class MarkerRead(ReadModel):
    """A marker as it was recorded, and its end once it has one."""

    id: UUID
    case_id: UUID
    marker: Annotated[Marker, listed("population_markers")]
    since: date
    until: date | None
    recorded_by: SubjectId = Field(description="The worker's opaque id.")
    recorded_at: Instant
    ended_by: SubjectId | None = Field(
        description="`system` where a child's marker ended with childhood."
    )
    ended_at: Instant | None


class MarkerList(ReadModel):
    items: tuple[MarkerRead, ...]
