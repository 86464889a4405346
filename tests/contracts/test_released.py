"""Releases understand each other (T21): golden events go both ways, no released form is broken."""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError
from sqlalchemy import func, select

from common.bus import Delivery
from common.events import Event, topic_of
from common.inbox import Handlers
from common.settings import ServiceName
from common.tables import DeadLetter, InboxAggregate, InboxMessage, InboxPending
from common.worker import consumer_of
from tests.contracts.payloads import FORMS, register_keeper, story
from tests.contracts.released import (
    WHAT_TO_DO,
    Release,
    departures,
    releases,
    schemas_now,
)
from tests.contracts.snapshot import Schema
from tests.kit import Kit, handlers_of, open_service
from tests.surface.operations import SERVICES

RELEASES = releases()
NOW = schemas_now()
each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda each: f"r{each.number}")
each_service = pytest.mark.parametrize("service", SERVICES)


async def taken(kit: Kit, handlers: Handlers, told: Sequence[bytes]) -> list[str]:
    """Bring records to the worker of a service; return what it did not apply, and why."""
    register_keeper().settle_in(kit.runtime)
    consumer = consumer_of(kit.runtime, handlers)
    places = count()
    deliveries = [Delivery(topic_of(json.loads(raw)["type"]), 0, next(places), raw) for raw in told]
    await consumer.accept_all(deliveries)
    dead = await kit.rows(select(DeadLetter.topic, DeadLetter.offset, DeadLetter.reason))
    parked = await kit.rows(
        select(InboxPending.topic, InboxPending.subject, InboxAggregate.parked_reason).join(
            InboxAggregate, InboxAggregate.subject == InboxPending.subject
        )
    )
    [applied] = await kit.rows(select(func.count().label("n")).select_from(InboxMessage))
    faults = [str(tuple(row)) for row in (*dead, *parked)]
    assert faults or applied.n == len(told)
    return faults


@each_release
@each_service
async def test_what_a_release_told_is_taken_today(
    release: Release, service: ServiceName, tmp_path: Path
) -> None:
    """Seeded: require `CaseOpened.referral_id`, new in release 2; refuse what has no checksum."""
    async with open_service(service, tmp_path) as kit:
        handlers = handlers_of(kit.runtime)
        assert {kind for kind in handlers if kind in release.schemas} <= release.types
        assert await taken(kit, handlers, release.golden) == []


@each_release
@each_service
async def test_what_is_told_today_was_taken_in_a_release(
    release: Release, service: ServiceName, tmp_path: Path
) -> None:
    """Seeded: tell a code longer than the released pattern allows; leave out a required field.

    The handlers are today's and read what the release's contracts let through: fields it did not
    know are dropped before, types it did not know are nobody's.
    """
    later = [raw for each in RELEASES if each.number >= release.number for raw in each.golden]
    today = [e.to_bytes() for kind in NOW for form in FORMS for e in story(kind, form)]
    async with open_service(service, tmp_path) as kit:
        handlers = release.hearing(handlers_of(kit.runtime))
        assert await taken(kit, handlers, [*later, *today]) == []


@each_release
def test_golden_events_are_as_they_were_written(release: Release) -> None:
    # Fails for a golden event that was changed by hand, or that its own release would not have told.
    assert release.types == set(release.schemas)
    for raw in release.golden:
        event = Event.from_bytes(raw)
        assert release.known(event.type, event.data) == event.data
        assert release.telling(event.to_bytes()) == raw


@pytest.mark.row("X17")
@each_release
def test_a_released_contract_has_only_grown(release: Release) -> None:
    # Fails for any other change of a class in common.contracts; the sentence says what to do.
    assert departures(release.schemas, NOW) == []


def _without(schema: Schema, name: str) -> dict[str, Any]:
    kept = {key: part for key, part in schema["properties"].items() if key != name}
    return {**schema, "properties": kept, "required": [n for n in schema["required"] if n != name]}


def _with(schema: Schema, name: str, part: Any, *, required: bool) -> dict[str, Any]:
    needed = {*schema["required"], *([name] if required else [])}
    return {
        **schema,
        "properties": {**schema["properties"], name: part},
        "required": sorted(needed),
    }


KIND = "intake.case.opened.v1"
OPENED = RELEASES[0].schemas[KIND]
MUTANTS: Mapping[str, Mapping[str, Schema]] = {
    "a field is gone": {KIND: _without(OPENED, "sex")},
    "a field is needed that was not told": {
        KIND: _with(OPENED, "phase", {"type": "string"}, required=True)
    },
    "a field may be absent that was counted on": {
        KIND: {**OPENED, "required": [n for n in OPENED["required"] if n != "urgency"]}
    },
    "a field may be absent no longer": {
        KIND: {**OPENED, "required": [*OPENED["required"], "notice_id"]}
    },
    "a field has another form": {
        KIND: _with(OPENED, "opened_on", {"type": "integer"}, required=True)
    },
    "the type is gone": {},
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_contract_is_refused_and_told_what_to_do(mutant: str) -> None:
    # Fails when the guard lets one of these through: it would let a developer's change through.
    [fault] = departures({KIND: OPENED}, MUTANTS[mutant])

    assert fault.startswith(KIND)
    assert fault.endswith(WHAT_TO_DO)


def test_a_release_does_not_take_what_its_contract_refuses() -> None:
    # Fails when the older reader believes everything: then nothing here could ever fail.
    opened = story(KIND, "whole")[0].data

    with pytest.raises(ValidationError):
        RELEASES[0].known(KIND, opened | {"sex": "a sentence"})
    with pytest.raises(ValidationError):
        RELEASES[0].known(KIND, {k: v for k, v in opened.items() if k != "case_id"})
