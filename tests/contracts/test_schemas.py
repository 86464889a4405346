"""Every published event keeps its form, and none can carry a free text."""

import json
from datetime import date
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, StringConstraints

from common.contracts.types import Code
from common.events import EventData, topic_of
from tests.contracts.snapshot import (
    EVENT_TYPE,
    SNAPSHOTS,
    event_classes,
    free_texts,
    incompatible,
    load,
    schema_of,
)

EVENTS = event_classes()


@pytest.mark.row("F74")
@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_looks_as_its_snapshot_says(event_type: str) -> None:
    """Seeded: rename `CaseOpened.opened_on`, or make `sex` optional, without a new version."""
    snapshot = load(event_type)

    assert snapshot == schema_of(EVENTS[event_type]), (
        "run `python -m tests.contracts.snapshot`; it says whether this needs a new version"
    )


def test_every_snapshot_has_its_event() -> None:
    """Seeded: delete an event class; consumers of the archive still need it."""
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == set(EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_no_event_has_room_for_a_free_text(event_type: str) -> None:
    """Seeded: `note: str` in NoticeReceived (F17)."""
    assert free_texts(schema_of(EVENTS[event_type])) == []


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_type_names_service_aggregate_fact_and_version(event_type: str) -> None:
    assert EVENT_TYPE.fullmatch(event_type)
    assert topic_of(event_type).count(".") == 1


class Inner(BaseModel):
    remark: str


class Mapped(BaseModel):
    by_key: dict[str, Code]


BAD: list[tuple[str, Any]] = [
    ("plain", str),
    ("plain_or_null", str | None),
    ("bounded", Annotated[str, StringConstraints(max_length=40)]),
    ("any_pattern", Annotated[str, StringConstraints(pattern=r"^.*$", max_length=40)]),
    ("open_pattern", Annotated[str, StringConstraints(pattern=r"[A-Z]", max_length=40)]),
    ("long", Annotated[str, StringConstraints(pattern=r"^[A-Z]+$", max_length=65)]),
    ("unbounded", Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")]),
    ("mail", Annotated[str, Field(json_schema_extra={"format": "email"})]),
    ("listed", tuple[str, ...]),
    ("anything", Any),
    ("nested", Inner),
    ("in_a_list", list[Inner]),
    ("mapping", dict[str, str]),
    ("in_a_mapping", Mapped),
    ("birth_date", date),
    ("given_name", Code),
    ("place_code", Code),
]


@pytest.mark.parametrize(("name", "annotation"), BAD, ids=[name for name, _ in BAD])
def test_the_lint_refuses_a_seeded_bad_field(name: str, annotation: Any) -> None:
    """Seeded: drop any one branch of the lint; the field of that branch is no longer refused."""
    bad = type("Bad", (EventData,), {"__annotations__": {"case_id": UUID, name: annotation}})

    assert free_texts(schema_of(bad))


def test_the_lint_takes_ids_codes_dates_and_numbers() -> None:
    class Good(EventData):
        type: ClassVar[str] = "intake.case.tested.v1"

        case_id: UUID
        urgency: Code | None = None
        purposes: tuple[Code, ...]
        opened_on: date
        month: int
        has_location: bool | None
        head: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$", max_length=128)]

    assert free_texts(schema_of(Good)) == []


class Before(EventData):
    case_id: UUID
    sex: Code
    reason: Code | None = None


class WithOptional(Before):
    phase: Code | None = None


class WithRequired(Before):
    phase: Code


class WithLooser(Before):
    sex: Code | None = None  # type: ignore[assignment]


class WithOther(Before):
    sex: int  # type: ignore[assignment]


class WithTighter(Before):
    reason: Code | None


class WithoutReason(EventData):
    case_id: UUID
    sex: Code


def test_an_optional_addition_stays_within_the_version() -> None:
    assert incompatible(schema_of(Before), schema_of(WithOptional)) == []


@pytest.mark.parametrize("after", [WithRequired, WithLooser, WithOther, WithTighter, WithoutReason])
@pytest.mark.row("X17")
def test_any_other_change_is_a_new_version(after: type[EventData]) -> None:
    """Seeded: compare property names only; WithLooser, WithOther and WithTighter slip through."""
    assert incompatible(schema_of(Before), schema_of(after))


def test_an_optional_field_does_not_become_required() -> None:
    """Seeded: compare the fields' forms only; an archived event without it could not be read."""

    class Optional(EventData):
        purposes: tuple[Code, ...] = Field(default_factory=tuple)

    class Required(EventData):
        purposes: tuple[Code, ...]

    assert incompatible(schema_of(Optional), schema_of(Required)) == [
        "purposes: required has changed"
    ]


def test_words_are_not_part_of_a_snapshot() -> None:
    """Seeded: strip `title` everywhere; an event's property of that name would leave the schema."""

    class Described(EventData):
        """A sentence that may be written better next year."""

        title: Code = Field(description="likewise")

    schema = schema_of(Described)

    assert "sentence" not in json.dumps(schema)
    assert schema["properties"].keys() == {"title"}
