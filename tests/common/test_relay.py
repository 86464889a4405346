"""The relay: every committed event reaches the bus, in order within its aggregate."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from sqlalchemy import select

from common import relay as relay_module
from common.bus import Bus, BusError, Log, Position, Record
from common.clock import utcnow
from common.db import Database
from common.relay import Relay
from common.tables import OutboxMessage, RelayLease
from common.unit import StaleError, Unit
from tests.common.things import Around, BusAround, first_seqs, made, new_unit, on_bus
from tests.conftest import fixed_id


async def feed(database: Database) -> list[int | None]:
    """Return the feed positions in the order in which the events were drawn."""
    found = await database.fetch(select(OutboxMessage.feed_position).order_by(OutboxMessage.id))
    return [row.feed_position for row in found]


async def lease(database: Database) -> RelayLease:
    [row] = await database.fetch(select(RelayLease))
    stored: RelayLease = row
    return stored


class FailingBus(BusAround):
    """Appends the first `prefix` records and fails, `failures` times; then it works."""

    def __init__(self, inner: Bus, failures: int, *, prefix: int = 0) -> None:
        super().__init__(inner)
        self.left = failures
        self._prefix = prefix

    async def publish(self, records: Sequence[Record]) -> None:
        if self.left:
            self.left -= 1
            await self.inner.publish(records[: self._prefix])
            raise BusError
        await self.inner.publish(records)


@pytest.mark.row("F74")
async def test_events_leave_oldest_first_and_are_stamped_in_that_order(
    database: Database, bus: Bus
) -> None:
    # Fails when a batch is read unordered, or rows are marked before they are sent.
    await made(database, fixed_id(1), fixed_id(2), moves=9)
    relay = Relay(database, bus, batch=7)
    await relay.lead()

    counts = [await relay.publish_waiting() for _ in range(2)]

    assert counts == [20, 0]
    assert await feed(database) == [*range(1, 21)]
    found = await database.fetch(select(OutboxMessage.event_id).order_by(OutboxMessage.id))
    assert [event.id for event in await on_bus(bus)] == [row.event_id for row in found]


async def test_an_event_leaves_when_its_commit_wakes_the_relay(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the relay only polls: nothing would arrive within the minute.
    monkeypatch.setattr(relay_module, "_IDLE_SECONDS", 60.0)
    running = asyncio.create_task(Relay(database, bus).run())

    async def from_the_start(_: str, __: int, ___: Log) -> Position:
        return Position(0)

    subscription = await bus.subscribe(["intake.thing"], group="reader", position_of=from_the_start)
    for number in range(1, 4):
        await made(database, fixed_id(number))
        async with asyncio.timeout(30):
            while not await subscription.poll():
                pass

    running.cancel()


# --- outages


@pytest.mark.parametrize("prefix", [0, 3])
async def test_a_bus_that_fails_is_waited_out_and_nothing_is_lost_or_overtaken(
    database: Database, bus: Bus, prefix: int
) -> None:
    # Fails when rows are marked although publish raised, or a failed batch is skipped.
    await made(database, fixed_id(1), fixed_id(2), moves=4)
    pauses: list[float] = []
    failing = FailingBus(bus, 3, prefix=prefix)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    running = asyncio.create_task(Relay(database, failing, pause=pause).run())
    async with asyncio.timeout(30):
        while None in await feed(database):
            pass
    running.cancel()

    assert all(later == 2 * sooner for sooner, later in pairwise(pauses))
    assert len(pauses) == 3
    events = await on_bus(bus)
    assert first_seqs(events) == {fixed_id(1): [*range(1, 6)], fixed_id(2): [*range(1, 6)]}
    assert len(events) == 10 + 3 * prefix


async def test_a_bus_that_hangs_is_given_up_and_asked_again(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails without the deadline: one lost answer of the bus would stop the service's events for ever.
    class HangingBus(FailingBus):
        async def publish(self, records: Sequence[Record]) -> None:
            if self.left:
                self.left -= 1
                monkeypatch.undo()  # the next attempt has the time it needs
                await asyncio.Event().wait()
            await self.inner.publish(records)

    monkeypatch.setattr(relay_module, "_SEND_DEADLINE", 0.05)
    await made(database, fixed_id(1))
    running = asyncio.create_task(Relay(database, HangingBus(bus, 1)).run())

    async with asyncio.timeout(30):
        while None in await feed(database):
            pass
    running.cancel()

    assert len(await on_bus(bus)) == 1


class LostAnswer(Around):
    """Commits one write and then loses the connection before the answer."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self.armed = False

    async def write(self, unit: Unit) -> None:
        await self.inner.write(unit)
        if self.armed:
            self.armed = False
            raise ConnectionResetError


async def test_a_mark_whose_answer_is_lost_is_not_made_twice(database: Database, bus: Bus) -> None:
    # Fails when the relay trusts the position it remembers: the next mark gives positions twice.
    await made(database, fixed_id(1), moves=4)
    flaky = LostAnswer(database)
    relay = Relay(flaky, bus)
    await relay.lead()
    flaky.armed = True
    with pytest.raises(ConnectionResetError):
        await relay.publish_waiting()
    await made(database, fixed_id(2))

    with pytest.raises(StaleError):
        await relay.publish_waiting()
    await relay.lead()
    await relay.publish_waiting()

    assert await feed(database) == [1, 2, 3, 4, 5, 6]
    assert first_seqs(await on_bus(bus)) == {fixed_id(1): [1, 2, 3, 4, 5], fixed_id(2): [1]}


# --- leadership: T10 and T11


class Unfenced(Relay):
    """The mistake: marks without asking whether it still leads."""

    async def _mark(self, ids: Sequence[int]) -> None:
        last = self._position + len(ids)
        unit = new_unit(self._database)
        unit.update(RelayLease, {"id": 1}, feed_position=last)
        for position, id_ in enumerate(ids, self._position + 1):
            unit.update(OutboxMessage, {"id": id_}, published_at=utcnow(), feed_position=position)
        await self._database.write(unit)
        self._position = last


async def stale_relay_marks(relay_class: type[Relay], database: Database, bus: Bus) -> int:
    """Let a relay go on that was replaced while it slept; return how many events it marked."""
    former, present = relay_class(database, bus), Relay(database, bus)
    await former.lead()
    await present.lead()
    await made(database, fixed_id(1), moves=4)
    try:
        await former.publish_waiting()
    except StaleError:
        assert (await lease(database)).epoch == 2
    return sum(position is not None for position in await feed(database))


async def test_a_relay_that_was_replaced_can_mark_nothing(database: Database, bus: Bus) -> None:
    # Fails without the epoch in the mark's condition; the mistake itself runs in the next test.
    assert await stale_relay_marks(Relay, database, bus) == 0


async def test_the_mistake_of_an_unfenced_mark_is_found(database: Database, bus: Bus) -> None:
    # Shows that the test above can fail.
    assert await stale_relay_marks(Unfenced, database, bus) == 5


class PausedBus(BusAround):
    """Holds what one relay sends until `resume` is set: the relay was stopped in mid-sentence."""

    def __init__(self, inner: Bus) -> None:
        super().__init__(inner)
        self.reached = asyncio.Event()
        self.resume = asyncio.Event()

    async def publish(self, records: Sequence[Record]) -> None:
        self.reached.set()
        await self.resume.wait()
        await self.inner.publish(records)


@pytest.mark.parametrize("relay_class", [Relay, Unfenced])
async def test_a_zombie_that_wakes_up_sends_again_and_moves_nothing(
    database: Database, bus: Bus, relay_class: type[Relay]
) -> None:
    # Fails when the woken relay may set the feed back: the next leader would give positions twice.
    await made(database, fixed_id(1), moves=4)
    asleep = PausedBus(bus)
    zombie, leader = relay_class(database, asleep), Relay(database, bus)
    await zombie.lead()
    sleeping = asyncio.create_task(zombie.publish_waiting())
    await asleep.reached.wait()
    await leader.lead()
    await leader.publish_waiting()
    await made(database, fixed_id(2), moves=4)
    await leader.publish_waiting()

    asleep.resume.set()
    [outcome] = await asyncio.gather(sleeping, return_exceptions=True)

    was_moved = (await lease(database)).feed_position != 10
    assert was_moved is (relay_class is Unfenced)
    assert isinstance(outcome, StaleError) is not was_moved
    assert await feed(database) == [*range(1, 11)]
    assert first_seqs(await on_bus(bus)) == {
        fixed_id(1): [1, 2, 3, 4, 5],
        fixed_id(2): [1, 2, 3, 4, 5],
    }


async def test_a_lead_taken_while_the_former_leader_marks_goes_on_from_its_mark(
    database: Database, bus: Bus
) -> None:
    # Fails when the lease is raised by its epoch alone: the new leader keeps an outdated position.
    class Interrupted(Around):
        is_armed = True

        async def write(self, unit: Unit) -> None:
            if self.is_armed:
                self.is_armed = False
                await former.publish_waiting()
            await self.inner.write(unit)

    former, present = Relay(database, bus), Relay(Interrupted(database), bus)
    await former.lead()
    await made(database, fixed_id(1), moves=4)

    await present.lead()
    await made(database, fixed_id(2))
    with pytest.raises(StaleError):
        await former.publish_waiting()
    await present.publish_waiting()

    assert await feed(database) == [1, 2, 3, 4, 5, 6]


async def test_an_empty_outbox_is_nothing_to_send(database: Database, bus: Bus) -> None:
    # Fails when an empty batch is published or marked.
    relay = Relay(database, bus)
    await relay.lead()

    assert await relay.publish_waiting() == 0
    assert (await lease(database)).feed_position == 0
