"""The consumer when something fails: outages are waited out, a bug parks one aggregate, no more."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from common import consumer as consumer_module
from common.bus import Bus, BusError, Delivery, Log, Position, Subscription, Waiting
from common.bus.base import PositionOf
from common.bus.local import LocalBus
from common.consumer import SilenceError
from common.db import Database
from common.inbox import Inbox
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, DeadLetter, InboxAggregate, InboxMessage, InboxPending
from common.unit import AnySelect, Unit
from tests.common.consuming import BAD, GOOD, Down, FewAtATime, Scene, TwoAtATime, record_of
from tests.common.things import (
    TOPIC,
    Around,
    ThingMoved,
    accounts,
    counted,
    delivered,
    fail_on,
    mend,
    on_thing,
    steps_of,
    trails,
)
from tests.conftest import fixed_id

# --- outages


class FailingDatabase(Around):
    """Fails every third call with an error of an engine that is down, until it has done so often."""

    def __init__(self, inner: Database, failures: int) -> None:
        super().__init__(inner)
        self._left = failures
        self._calls = 0

    def _maybe_fail(self) -> None:
        self._calls += 1
        if self._left and self._calls % 3 == 0:
            self._left -= 1
            if self._left % 2:
                raise OperationalError("", {}, Exception())
            raise ConnectionRefusedError

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        self._maybe_fail()
        return await super().fetch(statement, parameters)

    async def write(self, unit: Unit) -> None:
        self._maybe_fail()
        await super().write(unit)


async def test_a_database_that_fails_is_waited_out_and_nothing_is_put_aside(
    database: Database, box: ServiceBox
) -> None:
    # Fails when an outage ends the consumer, or what was done before it is done again.
    scene = Scene(FailingDatabase(database, 12), box)

    for delivery in delivered([*steps_of(GOOD, 3)[::-1], *steps_of(BAD, 2)]):
        await scene.consumer.accept(delivery)

    assert await trails(database) == {GOOD: ["1", "2", "3"], BAD: ["1", "2"]}
    assert await database.fetch(select(DeadLetter)) == []
    assert await accounts(database, scene.service) == 5
    assert len(scene.pauses) == 12


async def test_the_waits_grow_to_eight_seconds_and_no_further(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a database that is down is asked without a pause, is given up, or counts as a try.
    scene = Scene(Down(database, 12), box)

    await scene.consumer.accept(delivered(steps_of(GOOD, 1))[0])

    assert scene.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 8, 8, 8, 8, 8]


async def test_a_bus_that_fails_is_asked_again_from_the_same_place(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    # Fails when an error of poll ends the consumer, loses the place, or is asked of the same client.
    class FailingBus(FewAtATime):
        async def subscribe(
            self, topics: Sequence[str], *, group: str, position_of: PositionOf
        ) -> Subscription:
            subscriptions.append(None)
            if len(subscriptions) == 1:
                raise BusError
            inner = await super().subscribe(topics, group=group, position_of=position_of)
            return FailingSubscription(inner)

    class FailingSubscription(TwoAtATime):
        async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
            polls.append(None)
            if len(polls) % 2:
                raise BusError
            return await super().poll(limit=limit, seconds=seconds)

    subscriptions: list[None] = []
    polls: list[None] = []
    await bus.publish([record_of(event) for event in steps_of(GOOD, 5)])
    scene = Scene(database, box)

    running = asyncio.create_task(scene.consumer.run(FailingBus(bus)))
    async with asyncio.timeout(30):
        while len((await trails(database)).get(GOOD, [])) < 5:
            pass
    running.cancel()

    assert counted(scene.service) == {"applied": 5}
    assert len(subscriptions) > len(polls) // 2


class Deaf(TwoAtATime):
    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        await self._inner.poll(limit=limit, seconds=0)
        return []


class DeafBus(FewAtATime):
    """Hands nothing on, and counts who subscribes and who asks what waits."""

    def __init__(self, inner: Bus) -> None:
        super().__init__(inner)
        self.subscribed = self.asked = 0

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription:
        self.subscribed += 1
        return Deaf(await self.inner.subscribe(topics, group=group, position_of=position_of))

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        self.asked += 1
        return await super().waiting(topics, position_of=position_of)

    async def be_asked(self, times: int) -> None:
        enough = self.asked + times
        async with asyncio.timeout(30):
            while self.asked < enough:
                await self.logs([TOPIC])


async def test_a_subscription_that_falls_silent_is_begun_anew_and_at_last_ends_the_process(
    database: Database, bus: Bus, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when a client that hears nothing is trusted although records wait on the bus.
    monkeypatch.setattr(consumer_module, "SILENCE_SECONDS", 0.0)
    deaf = DeafBus(bus)
    quiet = asyncio.create_task(Scene(database, box).consumer.run(deaf))
    await deaf.be_asked(5)
    assert (deaf.subscribed, quiet.done()) == (1, False)  # nothing waits, so nothing is wrong

    await bus.publish([record_of(event) for event in steps_of(GOOD, 1)])
    with pytest.raises(SilenceError):
        await asyncio.wait_for(quiet, 30)

    assert deaf.subscribed == 3


async def test_what_waits_for_another_reader_of_the_group_is_no_silence(
    database: Database, bus: Bus, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: count what waits in every partition: two workers, one of them idle, and that one dies."""
    monkeypatch.setattr(consumer_module, "SILENCE_SECONDS", 0.0)
    deaf = DeafBus(bus)
    idle = asyncio.create_task(Scene(database, box).consumer.run(deaf))
    await deaf.be_asked(1)
    await Scene(database, box).consumer.claim(TOPIC, 0, (await bus.logs([TOPIC]))[TOPIC, 0])

    await bus.publish([record_of(event) for event in steps_of(GOOD, 1)])
    await deaf.be_asked(5)

    assert (deaf.subscribed, idle.done()) == (1, False)
    idle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await idle


async def test_what_rests_outside_its_log_is_no_silence(
    database: Database, bus: Bus, box: ServiceBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when a part of the log from which nothing can come ends the reader of all the others.
    monkeypatch.setattr(consumer_module, "SILENCE_SECONDS", 0.0)
    scene = Scene(database, box)
    await scene.consumer.claim(TOPIC, 0, (await bus.logs([TOPIC]))[TOPIC, 0])
    await scene.consumer.accept_all(delivered(steps_of(GOOD, 3)))
    deaf, lost = DeafBus(bus), LocalBus(tmp_path / "new.db")
    await bus.publish([record_of(event) for event in steps_of(GOOD, 3)])
    reader = asyncio.create_task(scene.consumer.run(deaf))
    await deaf.be_asked(1)
    await lost.publish([record_of(event) for event in steps_of(BAD, 1)])

    deaf.inner = lost
    await deaf.be_asked(5)

    assert (deaf.subscribed, reader.done()) == (1, False)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await lost.close()


async def test_who_was_never_given_a_share_while_records_wait_is_silent_too(
    database: Database, bus: Bus, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when only what it once held counts: a reader whom the group forgot would wait for ever.
    class GivesNobodyAShare(DeafBus):
        async def subscribe(
            self, topics: Sequence[str], *, group: str, position_of: PositionOf
        ) -> Subscription:
            return await super().subscribe(topics, group=group, position_of=the_beginning)

    async def the_beginning(_: str, __: int, ___: Log) -> Position:
        return Position(0)

    monkeypatch.setattr(consumer_module, "SILENCE_SECONDS", 0.0)
    await bus.publish([record_of(event) for event in steps_of(GOOD, 1)])
    forgetful = GivesNobodyAShare(bus)

    with pytest.raises(SilenceError):
        await asyncio.wait_for(Scene(database, box).consumer.run(forgetful), 30)

    assert forgetful.subscribed == 3


# --- the inbox's own statements fail (T8)


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("inbox_message", "NEW.seq = 3"),
        ("inbox_aggregate", "NEW.last_seq = 3"),
        ("consumer_position", "NEW.next_offset = 3"),
        ("dead_letter", "NEW.reason = 'malformed'"),
    ],
)
async def test_an_inbox_that_cannot_be_written_is_waited_for_with_nothing_half_written(
    database: Database, database_url: str, box: ServiceBox, table: str, condition: str
) -> None:
    # Fails when such an error ends the consumer, or the effect stands without its inbox row.
    fail_on(database_url, table, condition)
    scene = Scene(database, box)
    first, second, third, fourth = steps_of(GOOD, 4)
    waited, is_mended = asyncio.Event(), asyncio.Event()

    async def pause(seconds: float) -> None:
        if seconds > 0.1:
            waited.set()
            await is_mended.wait()  # else it would fight for SQLite's lock with who mends it

    scene.consumer._pause = scene.consumer._alone._pause = pause
    taking = asyncio.create_task(
        scene.consumer.accept_all(delivered([first, second, third, b"no event", fourth]))
    )
    await asyncio.wait_for(waited.wait(), 30)
    seen = await database.fetch(select(InboxMessage.seq).order_by(InboxMessage.seq))
    trail = (await trails(database)).get(GOOD, [])
    assert trail == [str(row.seq) for row in seen]

    # In a thread: an open transaction of the consumer ends only while this loop runs.
    await asyncio.to_thread(mend, database_url, table)
    is_mended.set()
    await asyncio.wait_for(taking, 30)
    if any(row.parked_at for row in await database.fetch(select(InboxAggregate.parked_at))):
        await scene.consumer.retry_parked(TOPIC, GOOD)

    assert await trails(database) == {GOOD: ["1", "2", "3", "4"]}
    assert await accounts(database, scene.service) == 5
    assert [row.next_offset for row in await database.fetch(select(ConsumerPosition))] == [5]


# --- stopping between two transactions, and a twin


async def test_what_was_due_when_the_consumer_died_is_taken_up_at_its_next_start(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    # Fails when only a newer event takes up what waits: it may never come.
    class DiesAfterWriting(Around):
        is_dead = False

        async def fetch(
            self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
        ) -> Sequence[Any]:
            if self.is_dead:
                raise ConnectionResetError
            return await super().fetch(statement, parameters)

        async def write(self, unit: Unit) -> None:
            await super().write(unit)
            self.is_dead = True

    first, second, third = delivered(steps_of(GOOD, 3))
    scene = Scene(database, box)
    await scene.consumer.accept_all([second, third])
    dying = Inbox(DiesAfterWriting(database), {ThingMoved.type: on_thing}, service="x", box=box)
    assert await dying.accept(first) == "applied"
    assert dying.behind == {(TOPIC, GOOD)}
    assert await trails(database) == {GOOD: ["1"]}

    running = asyncio.create_task(scene.consumer.run(bus))
    async with asyncio.timeout(30):
        while await trails(database) != {GOOD: ["1", "2", "3"]}:
            pass
    running.cancel()

    assert await database.fetch(select(InboxPending)) == []


async def test_two_consumers_started_by_mistake_apply_each_event_once_and_in_order(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    # T11. Fails when the inbox row is not written in the effect's own transaction.
    things = [fixed_id(n) for n in range(1, 5)]
    events = [
        event for group in zip(*(steps_of(t, 4) for t in things), strict=True) for event in group
    ]
    scenes = [Scene(database, box), Scene(database, box)]

    def applied() -> int:
        return sum(counted(scene.service).get("applied", 0) for scene in scenes)

    def refused() -> float:
        stale = "prag_stale_epoch_rejected_total"
        found = [REGISTRY.get_sample_value(stale, {"service": s.service}) for s in scenes]
        return sum(filter(None, found))

    slow = FewAtATime(bus)
    running = [asyncio.create_task(scene.consumer.run(slow)) for scene in scenes]
    async with asyncio.timeout(30):
        for _ in scenes:
            await slow.subscriptions.get()
        await bus.publish([record_of(event) for event in events])
        while sum(map(len, (await trails(database)).values())) < len(events):
            pass
        while applied() < len(events):  # counted once it is committed, so a moment later
            await trails(database)
        # Who was given a partition last took it over; the other's deliveries moved nothing, and they
        # may come when all has been taken.
        while not refused():
            await trails(database)
    for task in running:
        task.cancel()

    assert await trails(database) == {thing: ["1", "2", "3", "4"] for thing in things}
    assert await database.fetch(select(DeadLetter)) == []
    assert applied() == len(events)
