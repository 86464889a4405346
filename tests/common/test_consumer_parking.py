"""A handler with a bug parks one aggregate, after five tries; everything else flows."""

from dataclasses import replace

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from common.consumer import Consumer
from common.db import Database
from common.db.postgres import PostgresDatabase
from common.errors import ConflictError
from common.events import Event
from common.inbox import TRIES, Handler
from common.sealing import ServiceBox
from common.tables import DeadLetter, InboxAggregate, InboxPending
from common.unit import Unit
from tests.common.consuming import BAD, GOOD, Scene
from tests.common.things import (
    TOPIC,
    Thing,
    ThingMoved,
    accounts,
    counted,
    delivered,
    on_thing,
    steps_of,
    trails,
)
from tests.conftest import fixed_id


class Moody:
    """A handler that raises for BAD's event `seq`, as long as it is `broken`."""

    def __init__(self, error: Exception, *, seq: int = 2, times: int = 1_000_000) -> None:
        self.left = times
        self.calls = 0
        self._error = error
        self._seq = seq

    async def __call__(self, unit: Unit, event: Event) -> None:
        await on_thing(unit, event)
        if (event.subject, event.seq) == (BAD, self._seq):
            self.calls += 1
            if self.left:
                self.left -= 1
                raise self._error


async def test_a_handler_that_keeps_failing_is_tried_five_times_and_parks_its_aggregate_only(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a bug stops the partition, is put aside, or later events of the aggregate overtake.
    handler = Moody(RuntimeError("Ana Marković"))
    scene = Scene(database, box, handler)
    good, bad = steps_of(GOOD, 4), steps_of(BAD, 4)
    mixed = [event for pair in zip(good, bad, strict=True) for event in pair]

    await scene.consumer.accept_all(delivered(mixed))

    assert await trails(database) == {GOOD: ["1", "2", "3", "4"], BAD: ["1"]}
    assert handler.calls == 1 + TRIES  # once in the batch it left
    assert len(scene.pauses) == TRIES - 1
    assert sum(scene.pauses) < 1  # of everybody's time: the partition waits
    [state] = await database.fetch(select(InboxAggregate).where(InboxAggregate.subject == BAD))
    assert (state.last_seq, state.parked_reason) == (1, "RuntimeError")
    assert state.parked_at is not None
    waiting = await database.fetch(select(InboxPending.seq).order_by(InboxPending.seq))
    assert [row.seq for row in waiting] == [2, 3, 4]
    assert counted(scene.service) == {"applied": 5, "parked": 1, "pending": 2}
    assert await accounts(database, scene.service) == 8

    handler.left = 0
    assert await scene.consumer.retry_parked(TOPIC, BAD) == 3

    assert await trails(database) == {GOOD: ["1", "2", "3", "4"], BAD: ["1", "2", "3", "4"]}
    assert await database.fetch(select(InboxPending)) == []
    assert await database.fetch(select(DeadLetter)) == []
    assert await accounts(database, scene.service) == 8


async def test_a_parked_aggregate_that_still_fails_is_parked_again(
    database: Database, box: ServiceBox
) -> None:
    # Fails when taking it up drops the event or lets the next ones through.
    scene = Scene(database, box, Moody(RuntimeError()))
    await scene.consumer.accept_all(delivered(steps_of(BAD, 3)))

    assert await scene.consumer.retry_parked(TOPIC, BAD) == 0
    await scene.consumer.accept_all(delivered(steps_of(BAD, 4)[3:], start=3))

    assert await trails(database) == {BAD: ["1"]}
    waiting = await database.fetch(select(InboxPending.seq).order_by(InboxPending.seq))
    assert [row.seq for row in waiting] == [2, 3, 4]


async def test_a_redelivery_does_not_wake_a_parked_aggregate(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a repetition or a conflict drains what a person has yet to look at.
    handler = Moody(RuntimeError())
    scene = Scene(database, box, handler)
    events = steps_of(BAD, 3)
    await scene.consumer.accept_all(delivered(events))
    handler.left = 0

    await scene.consumer.accept_all(delivered([*events, steps_of(BAD, 1)[0]], start=3))

    assert await trails(database) == {BAD: ["1"]}
    assert counted(scene.service) == {
        "applied": 1,
        "parked": 1,
        "pending": 1,
        "duplicate": 3,
        "dead": 1,
    }


async def test_a_handler_that_fails_four_times_is_not_parked(
    database: Database, box: ServiceBox
) -> None:
    # Fails when fewer tries are made.
    handler = Moody(KeyError("x"), times=TRIES)
    scene = Scene(database, box, handler)

    await scene.consumer.accept_all(delivered(steps_of(BAD, 3)))

    assert await trails(database) == {BAD: ["1", "2", "3"]}
    assert scene.pauses == [0.05, 0.1, 0.2, 0.4]


async def test_an_event_the_rules_refuse_is_put_aside_at_once_and_its_aggregate_goes_on(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a refusal is tried again, or leaves a gap that stops the aggregate.
    handler = Moody(ConflictError("thing.illegal_step"))
    scene = Scene(database, box, handler)

    await scene.consumer.accept_all(delivered(steps_of(BAD, 3)))

    assert await trails(database) == {BAD: ["1", "3"]}
    assert handler.calls == 1
    assert scene.pauses == []
    assert [row.reason for row in await database.fetch(select(DeadLetter))] == [
        "thing.illegal_step"
    ]
    assert await accounts(database, scene.service) == 3


async def test_a_waiting_event_that_fails_when_its_turn_comes_in_a_batch_is_parked(
    database: Database, box: ServiceBox
) -> None:
    # Fails when the failure is laid to the event before it: nobody would ever try the waiting one.
    handler = Moody(RuntimeError())
    scene = Scene(database, box, handler)
    first, second, third = steps_of(BAD, 3)

    await scene.consumer.accept_all(delivered([second, third, first, *steps_of(GOOD, 2)]))

    assert await trails(database) == {BAD: ["1"], GOOD: ["1", "2"]}
    [state] = await database.fetch(select(InboxAggregate).where(InboxAggregate.subject == BAD))
    assert state.parked_at is not None
    assert handler.calls == 1 + TRIES
    assert counted(scene.service) == {"pending": 2, "applied": 3}
    assert await accounts(database, scene.service) == 5


@pytest.mark.postgres
async def test_a_read_that_fails_in_a_batch_takes_nobodys_effect_with_it(
    postgres_only: PostgresDatabase, box: ServiceBox
) -> None:
    # Fails when the batch goes on in a transaction that PostgreSQL has given up: its COMMIT rolls back.
    async def reads_wrongly(unit: Unit, event: Event) -> None:
        await on_thing(unit, event)
        if event.subject == BAD:
            await unit.rows(select(text("1 / 0")).select_from(Thing.__table__).limit(1))
            await unit.rows(select(text("no_such_column")))

    scene = Scene(postgres_only, box, reads_wrongly)
    records = [*steps_of(GOOD, 3), *steps_of(BAD, 2), *steps_of(fixed_id(3), 3)]

    await scene.consumer.accept_all(delivered(records))

    assert await trails(postgres_only) == {GOOD: ["1", "2", "3"], fixed_id(3): ["1", "2", "3"]}
    [state] = await postgres_only.fetch(
        select(InboxAggregate).where(InboxAggregate.parked_at.is_not(None))
    )
    assert state.subject == BAD
    assert await accounts(postgres_only, scene.service) == 8


# --- a bug of the consumer itself


class Broken(dict[str, Handler]):
    """Handlers that raise when they are looked for, as a fault of the inbox itself would."""

    def __contains__(self, _: object) -> bool:
        raise KeyError


async def test_where_the_consumer_itself_fails_the_log_names_the_record(
    database: Database, box: ServiceBox
) -> None:
    # Fails when an operator sees that a consumer ends again and again, and not at which record.
    consumer = Consumer(database, Broken({ThingMoved.type: on_thing}), service="t", box=box)
    first, second = delivered([*steps_of(GOOD, 1), *steps_of(BAD, 1)])

    with capture_logs() as lines, pytest.raises(KeyError):
        await consumer.accept_all([replace(first, value=b"no event"), second])

    named = [line for line in lines if line["event"] == "consumer.stands_at"]
    assert [(line["topic"], line["offset"]) for line in named] == [(TOPIC, second.offset)]
