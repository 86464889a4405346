"""The consumer: each event takes effect once and in its place, however it is delivered."""

import asyncio
import hashlib
from collections.abc import Sequence
from random import Random
from uuid import UUID

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from common.bus import Bus, Delivery
from common.clock import new_id
from common.consumer import Consumer
from common.db import Database
from common.db.sqlite import SqliteDatabase
from common.events import Event
from common.relay import Relay
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, DeadLetter, InboxMessage, InboxPending
from tests.common.things import (
    HANDLERS,
    TOPIC,
    SeenThing,
    accounts,
    counted,
    delivered,
    made,
    new_unit,
    steps_of,
    trails,
)
from tests.conftest import fixed_id


def consumer_of(database: Database, box: ServiceBox) -> tuple[Consumer, str]:
    """Return a consumer and the name under which its deliveries are counted, new in each test."""
    service = f"test-{new_id()}"
    return Consumer(database, HANDLERS, service=service, box=box), service


async def position(database: Database) -> int | None:
    found = await database.fetch(select(ConsumerPosition.next_offset))
    return found[0].next_offset if found else None


async def take(consumer: Consumer, deliveries: Sequence[Delivery], way: str) -> None:
    if way == "alone":
        for delivery in deliveries:
            await consumer.accept(delivery)
    else:
        await consumer.accept_all(deliveries)


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_events_delivered_up_to_five_times_take_effect_once(
    database: Database, box: ServiceBox, way: str
) -> None:
    # T13. Fails without the look-up among the seen, or when a repeated event counts as anything else.
    seed = new_id().int % 2**32
    chance = Random(seed)  # noqa: S311  an order of events, not a secret
    things = [steps_of(fixed_id(n), 4) for n in range(1, 5)]
    queues = [[e for e in events for _ in range(chance.randint(1, 5))] for events in things]
    records: list[Event] = []
    while queues:
        queue = chance.choice(queues)
        records.append(queue.pop(0))
        queues = [left for left in queues if left]
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered(records), way)

    told = f"seed {seed}"
    assert set(map(tuple, (await trails(database)).values())) == {tuple("1234")}, told
    assert counted(service) == {"applied": 16, "duplicate": len(records) - 16}, told
    assert await position(database) == len(records)


async def test_three_one_two_is_applied_as_one_two_three(
    database: Database, box: ServiceBox
) -> None:
    # T14. Fails when an early event is applied at once, or is not taken up after its predecessor.
    first, second, third = steps_of(fixed_id(1), 3)
    consumer, service = consumer_of(database, box)

    await consumer.accept_all(delivered([third]))
    assert await trails(database) == {}
    assert len(await database.fetch(select(InboxPending))) == 1
    await consumer.accept_all(delivered([first], start=1))
    assert await trails(database) == {fixed_id(1): ["1"]}
    await consumer.accept_all(delivered([second], start=2))

    assert await trails(database) == {fixed_id(1): ["1", "2", "3"]}
    assert await database.fetch(select(InboxPending)) == []
    assert counted(service) == {"pending": 1, "applied": 2}
    assert await accounts(database, service) == 3


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15
)
@given(data=st.data())
async def test_any_interleaving_with_any_repetitions_ends_the_same(
    database: Database, box: ServiceBox, data: st.DataObject
) -> None:
    # Fails on a lost, doubled or misplaced effect; Hypothesis then shows the shortest order for it.
    things = [new_id(), new_id()]
    events = [event for thing in things for event in steps_of(thing, 4)]
    more = data.draw(st.lists(st.sampled_from(events), max_size=6), label="again")
    records = data.draw(st.permutations([*events, *more]), label="order")
    cut = data.draw(st.integers(0, len(records)), label="batch until")
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered(records[:cut]), "batch")
    await take(consumer, delivered(records[cut:], start=cut), "alone")

    found = {thing: trail for thing, trail in (await trails(database)).items() if thing in things}
    assert found == {thing: ["1", "2", "3", "4"] for thing in things}
    assert await database.fetch(select(InboxPending)) == []
    counts = counted(service)
    assert counts.get("duplicate", 0) == len(more)
    assert sum(counts.values()) == len(records)


# --- what can never be applied


def _another(event: Event, **changes: object) -> bytes:
    return event.model_copy(update=changes).to_bytes()


ONE = steps_of(fixed_id(1), 1)[0]


NO_EVENTS = [
    (b"", "malformed"),
    (b"\xff\xfe\x00", "malformed"),
    (b"[]", "malformed"),
    (b"{" * 100_000, "malformed"),
    (ONE.to_bytes()[:-1], "malformed"),
    (_another(ONE, specversion="2.0"), "malformed"),
    (_another(ONE, seq=0), "malformed"),
    (_another(ONE, seq=2**31), "malformed"),
    (ONE.to_bytes().replace(b'"seq":1', b'"seq":1' + b"0" * 80), "malformed"),
    (_another(ONE, type="referral.referral.drafted.v1"), "foreign_topic"),
    (_another(ONE, type="v1"), "foreign_topic"),
    (_another(ONE, data={"x": "y" * 300_000}), "too_large"),
]


async def test_a_record_that_is_no_event_is_put_aside_at_once_and_the_rest_flows(
    database: Database, box: ServiceBox
) -> None:
    # Fails when one bad record stops its partition, is tried again, is dropped, or is kept readable.
    records = [record for record, _ in NO_EVENTS]
    consumer, service = consumer_of(database, box)

    async with asyncio.timeout(30):
        await consumer.accept_all(delivered([*records, *steps_of(fixed_id(2), 2)]))

    assert await trails(database) == {fixed_id(2): ["1", "2"]}
    assert await position(database) == len(records) + 2
    letters = await database.fetch(select(DeadLetter).order_by(DeadLetter.offset))
    assert [letter.reason for letter in letters] == [reason for _, reason in NO_EVENTS]
    for offset, letter in enumerate(letters):
        assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 0, offset)
        assert box.open(letter.value, place=letter.id.bytes) == records[offset]
        assert b"specversion" not in letter.value.box
    assert counted(service) == {"dead": len(records), "applied": 2}


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_a_seen_id_around_other_bytes_is_put_aside(
    database: Database, box: ServiceBox, way: str
) -> None:
    # Fails when the payload is not compared: a forged event would pass for a repetition.
    forged = _another(ONE, data={"thing_id": str(fixed_id(9)), "step": 1})
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered([ONE, forged, ONE]), way)

    assert await trails(database) == {fixed_id(1): ["1"]}
    assert [row.reason for row in await database.fetch(select(DeadLetter))] == ["hash_conflict"]
    assert counted(service) == {"applied": 1, "dead": 1, "duplicate": 1}


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_another_event_with_a_seq_that_is_taken_is_put_aside_not_dropped(
    database: Database, box: ServiceBox, way: str
) -> None:
    # Fails when everything up to the last seq counts as a repetition: a fork would go unseen.
    fork = steps_of(fixed_id(1), 2)
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered([*steps_of(fixed_id(1), 2), *fork]), way)

    assert await trails(database) == {fixed_id(1): ["1", "2"]}
    assert {row.reason for row in await database.fetch(select(DeadLetter))} == {"seq_conflict"}
    assert counted(service) == {"applied": 2, "dead": 2}


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_an_event_that_waits_is_not_replaced_by_another(
    database: Database, box: ServiceBox, way: str
) -> None:
    # Fails when what waits is overwritten: the last to arrive would win, unseen.
    first, second, third = steps_of(fixed_id(1), 3)
    forged = _another(third, data={"thing_id": str(fixed_id(9)), "step": 3})
    fork = steps_of(fixed_id(1), 3)[2]
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered([third, third, forged, fork, first, second]), way)

    assert await trails(database) == {fixed_id(1): ["1", "2", "3"]}
    found = await database.fetch(select(DeadLetter.reason).order_by(DeadLetter.offset))
    assert [row.reason for row in found] == ["hash_conflict", "seq_conflict"]
    kept = await database.fetch(select(InboxMessage.event_id).where(InboxMessage.seq == 3))
    assert [row.event_id for row in kept] == [third.id]
    assert counted(service) == {"pending": 1, "duplicate": 1, "dead": 2, "applied": 2}


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_a_waiting_event_under_an_id_that_was_used_since_gives_way_to_the_true_one(
    database: Database, box: ServiceBox, way: str
) -> None:
    # Fails when the twin id counts as a repetition: the aggregate would wait for ever.
    first, second, third = steps_of(fixed_id(1), 3)
    forged = _another(first, seq=2)
    consumer, service = consumer_of(database, box)

    await take(consumer, delivered([forged, first, third, second]), way)

    assert await trails(database) == {fixed_id(1): ["1", "2", "3"]}
    assert [row.reason for row in await database.fetch(select(DeadLetter))] == ["hash_conflict"]
    assert await database.fetch(select(InboxPending)) == []
    assert await accounts(database, service) == 4


async def test_an_event_nobody_handles_is_noted_and_passed(
    database: Database, box: ServiceBox
) -> None:
    # Fails when an unknown type is refused: a newer publisher would stop its consumers.
    first, second = steps_of(fixed_id(1), 2)
    unknown = Event.model_validate_json(_another(first, type="intake.thing.painted.v1"))
    consumer, service = consumer_of(database, box)

    await consumer.accept_all(delivered([unknown, second]))

    assert await trails(database) == {fixed_id(1): ["2"]}
    assert counted(service) == {"applied": 2}


# --- going on, and starting over


async def dump(database: Database) -> str:
    """Return the hash of the projection's canonical form."""
    found = await database.fetch(select(SeenThing).order_by(SeenThing.thing_id))
    rows = [[str(row.thing_id), row.trail] for row in found]
    return hashlib.sha256(rfc8785.dumps(rows)).hexdigest()


async def drink(consumer: Consumer, bus: Bus) -> int:
    """Let the consumer take what the bus has for it, from its own position on."""
    subscription = await bus.subscribe(consumer.topics, group="test", position_of=consumer.claim)
    count = 0
    while found := await subscription.poll(limit=40, seconds=0):
        await consumer.accept_all(found)
        count += len(found)
    return count


async def publish(database: Database, bus: Bus, *things: UUID) -> None:
    await made(database, *things, moves=4)
    relay = Relay(database, bus)
    await relay.lead()
    while await relay.publish_waiting():
        pass


async def test_a_new_consumer_goes_on_where_the_former_stopped(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    # Fails when the position is not written with the effect: events are skipped or taken again.
    await publish(database, bus, fixed_id(1))
    assert await drink(consumer_of(database, box)[0], bus) == 5
    await publish(database, bus, fixed_id(2))
    consumer, service = consumer_of(database, box)

    assert await drink(consumer, bus) == 5

    assert counted(service) == {"applied": 5}
    assert set(await trails(database)) == {fixed_id(1), fixed_id(2)}


async def test_a_position_that_is_lost_repeats_no_effect(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    # T19. Fails when only the position keeps events from taking effect again.
    await publish(database, bus, fixed_id(1))
    await drink(consumer_of(database, box)[0], bus)
    before = await dump(database)
    unit = new_unit(database)
    unit.remove(ConsumerPosition, topic=TOPIC, partition=0)
    await database.write(unit)
    consumer, service = consumer_of(database, box)

    assert await drink(consumer, bus) == 5

    assert counted(service) == {"duplicate": 5}
    assert await dump(database) == before


async def test_a_projection_built_anew_from_the_log_is_the_live_one(
    database: Database, sqlite_only: SqliteDatabase, bus: Bus, box: ServiceBox
) -> None:
    # T20, I7. Fails when an effect depends on anything but the events: the clock, or the live rows.
    for number in range(1, 9):
        await publish(database, bus, fixed_id(number))
        await drink(consumer_of(database, box)[0], bus)
    live = await dump(database)

    assert await drink(consumer_of(sqlite_only, box)[0], bus) == 40

    assert await dump(sqlite_only) == live
    assert len(await trails(sqlite_only)) == 8
