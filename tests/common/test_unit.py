"""The Unit: what a command hands over is written together, on the version it was decided on."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from common import clock
from common.clock import new_id
from common.columns import Sealed
from common.db import Database
from common.errors import PreconditionFailedError
from common.events import Event
from common.tables import AuditEntry, OutboxMessage, SubjectKey
from common.unit import Actor, DuplicateError, StaleError
from tests.common.things import (
    ORGANISATION,
    TOPIC,
    Thing,
    ThingMade,
    ThingMoved,
    first_seqs,
    made,
    make,
    move,
    new_unit,
    outbox,
)
from tests.conftest import fixed_id

IN_FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15
)


async def test_a_new_aggregate_its_events_and_its_audit_entry_are_written_together(
    database: Database,
) -> None:
    # Fails when the version does not count the events, or the entry or an event is left out.
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    clock.set_source(lambda: at)
    unit = new_unit(database, "make_thing")
    unit.actor = Actor("worker-7", ORGANISATION, "SOCIAL_WORKER", "case-tool")
    unit.trace_id = "t" * 32

    thing = make(unit, fixed_id(1), moves=1)
    await database.write(unit)

    [stored] = await database.fetch(select(Thing))
    assert (stored.version, stored.status, stored.recorded_at) == (2, "NEW", at)
    assert (thing.version, unit.version, unit.created_id) == (2, 2, fixed_id(1))
    messages = await database.fetch(select(OutboxMessage).order_by(OutboxMessage.id))
    assert [(m.seq, m.type, m.topic, m.organisation_id) for m in messages] == [
        (1, ThingMade.type, TOPIC, ORGANISATION),
        (2, ThingMoved.type, TOPIC, ORGANISATION),
    ]
    for message in messages:
        event = Event.model_validate_json(message.payload)
        assert (event.id, event.seq) == (message.event_id, message.seq)
        assert event.to_bytes() == message.payload
        assert message.published_at is None
    [entry] = await database.fetch(select(AuditEntry))
    seen = {c.key: getattr(entry, c.key) for c in AuditEntry.__table__.columns if c.key != "id"}
    assert seen == {
        "at": at,
        "actor": "worker-7",
        "client_id": "case-tool",
        "organisation_id": ORGANISATION,
        "role": "SOCIAL_WORKER",
        "action": "create",
        "operation": "make_thing",
        "object_type": "thing",
        "object_ids": [str(fixed_id(1))],
        "subject": fixed_id(1),
        "data_groups": [],
        "purpose": None,
        "legal_basis": None,
        "decision": "allow",
        "trace_id": "t" * 32,
    }


async def test_many_rows_get_each_its_own_values_in_one_step(database: Database) -> None:
    # Fails when the values are given to the rows in another order, or to rows that were not named.
    await made(database, *map(fixed_id, range(4)))
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    ends = [datetime(2026, 1, 1, 12, tzinfo=UTC), None, datetime(2026, 1, 3, 1, tzinfo=UTC)]
    unit = new_unit(database)
    unit.update_each(
        Thing,
        {"id": [fixed_id(2), fixed_id(0), fixed_id(9)], "version": [1, 1, 1]},
        due_on=days,
        ended_at=ends,
        note=[Sealed(b"first"), None, None],
    )

    await database.write(unit)

    found = await database.fetch(select(Thing).order_by(Thing.id))
    told = [(row.due_on, row.ended_at, row.note and row.note.box) for row in found]
    nothing = (None, None, None)
    assert told == [(days[1], None, None), nothing, (days[0], ends[0], b"first"), nothing]


async def test_nothing_is_written_before_the_unit_is(database: Database) -> None:
    # Fails when a Unit writes as it goes: a command that then refuses would leave rows.
    unit = new_unit(database)
    make(unit, fixed_id(1))
    await unit.new_box(fixed_id(1))

    for table in (Thing, OutboxMessage, AuditEntry, SubjectKey):
        assert await database.fetch(select(table)) == []


async def test_of_two_changes_decided_on_one_version_the_second_is_stale(
    database: Database,
) -> None:
    # Fails without the version in the update's condition: the first change is lost.
    await made(database, fixed_id(1))
    first, second = new_unit(database), new_unit(database)
    await move(first, fixed_id(1))
    await move(second, fixed_id(1))

    outcomes = await asyncio.gather(
        database.write(first), database.write(second), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StaleError"]
    assert [event.seq for event in await outbox(database)] == [1, 2]
    assert len(await database.fetch(select(AuditEntry))) == 2


async def test_a_change_twice_in_one_unit_builds_on_itself(database: Database) -> None:
    # Fails when the second change starts from the stored row: it would be stale against the first.
    await made(database, fixed_id(1))
    unit = new_unit(database)
    once = await move(unit, fixed_id(1))
    step = ThingMoved(thing_id=fixed_id(1), step=3)
    twice = unit.change(Thing, once, step, status="ENDED")

    await database.write(unit)

    [stored] = await database.fetch(select(Thing))
    assert (stored.version, stored.status) == (3, "ENDED") == (twice.version, twice.status)
    assert [event.seq for event in await outbox(database)] == [1, 2, 3]


async def test_a_decision_that_rests_on_another_row_falls_with_it(database: Database) -> None:
    # Fails when require_unchanged is not checked at the write: consent withdrawn meanwhile counts.
    await made(database, fixed_id(1), fixed_id(2))
    resting = new_unit(database)
    await move(resting, fixed_id(1))
    resting.require_unchanged(Thing, id=fixed_id(2), version=1)
    withdrawing = new_unit(database)
    await move(withdrawing, fixed_id(2))
    await database.write(withdrawing)

    with pytest.raises(StaleError):
        await database.write(resting)

    assert first_seqs(await outbox(database)) == {fixed_id(1): [1], fixed_id(2): [1, 2]}


async def test_the_callers_version_is_checked_when_the_row_is_shown(database: Database) -> None:
    # Fails when If-Match is compared with nothing.
    await made(database, fixed_id(1))
    unit = new_unit(database)
    thing = await unit.find(select(Thing))
    assert thing is not None

    assert unit.shows(thing, 1) is thing
    assert unit.version == 1
    with pytest.raises(PreconditionFailedError):
        unit.shows(thing, 2)


async def test_what_was_changed_since_the_callers_version_was_compared_is_not_changed_again(
    database: Database,
) -> None:
    # Fails when a row that is read twice is changed on the version of the second reading.
    await made(database, fixed_id(1))
    slow = new_unit(database)
    seen = await slow.find(select(Thing))
    assert seen is not None
    slow.shows(seen, 1)
    quick = new_unit(database)
    await move(quick, fixed_id(1))
    await database.write(quick)

    with pytest.raises(StaleError):
        await move(slow, fixed_id(1))


async def test_a_twin_of_an_aggregate_names_its_table(database: Database) -> None:
    # Fails when a broken key is reported as an error of the database.
    await made(database, fixed_id(1))
    twin = new_unit(database)
    make(twin, fixed_id(1))

    with pytest.raises(DuplicateError) as caught:
        await database.write(twin)

    assert caught.value.table == "thing"


async def test_what_a_unit_opens_is_written_down_with_what_and_why(database: Database) -> None:
    # Fails when `disclose` leaves out whom it concerns, what was opened or why.
    unit = new_unit(database, "read_identity")
    unit.disclose(
        "thing",
        ["a", "b"],
        about=fixed_id(1),
        data_groups=["IDENTITY"],
        purpose="ASSISTANCE",
        legal_basis="CONSENT",
    )
    await database.write(unit)

    [entry] = await database.fetch(select(AuditEntry))
    assert (entry.action, entry.object_ids, entry.subject) == ("read", ["a", "b"], fixed_id(1))
    assert (entry.data_groups, entry.purpose) == (["IDENTITY"], "ASSISTANCE")
    assert (entry.legal_basis, entry.decision) == ("CONSENT", "allow")


async def test_times_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    # Fails when SQLite drops the offset, or a naive time is taken for UTC.
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    there = at.astimezone(datetime.strptime("+0530", "%z").tzinfo) + timedelta(microseconds=1)
    unit = new_unit(database)
    make(unit, fixed_id(1))
    await database.write(unit)
    ended, naive = new_unit(database), new_unit(database)
    ended.update(Thing, {"id": fixed_id(1)}, expect=1, ended_at=there)
    naive.update(Thing, {"id": fixed_id(1)}, expect=1, ended_at=at.replace(tzinfo=None))

    await database.write(ended)
    with pytest.raises(Exception, match="naive datetime"):
        await database.write(naive)

    [stored] = await database.fetch(select(Thing))
    assert stored.ended_at == there
    assert stored.ended_at.utcoffset() == timedelta(0)


@IN_FIXTURE
@given(plan=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), max_size=5))
async def test_versions_count_the_events_whatever_runs_at_once(
    database: Database, plan: list[list[int]]
) -> None:
    # Fails when version and seq part ways: a gap or a twin would stop every consumer of the thing.
    things = [new_id() for _ in range(3)]
    await made(database, *things)

    async def change(number: int) -> None:
        while True:
            unit = new_unit(database)
            await move(unit, things[number])
            try:
                return await database.write(unit)
            except StaleError:
                continue

    for together in plan:
        await asyncio.gather(*map(change, together))

    seqs = first_seqs(event for event in await outbox(database) if event.subject in things)
    found = await database.fetch(select(Thing).where(Thing.id.in_(things)))
    expected = {thing: 1 + sum(t.count(n) for t in plan) for n, thing in enumerate(things)}
    assert {row.id: row.version for row in found} == expected
    assert seqs == {thing: [*range(1, count + 1)] for thing, count in expected.items()}
